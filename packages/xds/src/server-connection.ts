import type { Node } from './delta-message.ts';
import type { ChangedNames, StreamSubscriptionsOptions } from './stream-subscriptions.ts';
import type { StreamWriterOptions } from './stream-writer.ts';
import type { TypeStatus } from './type-subscription.ts';
import type { WrittenResources } from './written-resources.ts';

export interface ConnectionStatus {
  readonly id: string;
  readonly address: string;
  /** Undefined until the first request. */
  readonly node: Node | undefined;
  readonly connectedAt: Date;
  readonly types: readonly TypeStatus[];
}

/** The server's side of one stream, whichever wire it speaks. */
export interface ServerConnection {
  readonly node: Node | undefined;
  readonly status: ConnectionStatus;
  /** @throws WEFT1505 when the request breaks the protocol */
  receive(request: Buffer): void;
  changed(changes: ChangedNames, changedAt: number): void;
  /** Nothing is written any more. The stream itself is the server's to end. */
  close(): void;
}

export interface ConnectionOptions extends StreamSubscriptionsOptions, StreamWriterOptions {
  /** Shared by all connections of a server. */
  readonly written: WrittenResources;
  /** Says which state of the sources a push shows, for people. */
  readonly systemVersion: () => string;
  /** Of the last change of any source. */
  readonly sequence: () => number;
  readonly onPush: (typeUrl: string, resources: number, removed: number, bytes: number) => void;
  readonly onConverged: (ms: number) => void;
  /** A push began, so long after its changes were handed over. */
  readonly onQueued: (ms: number) => void;
  /** What a push had of one type was made and written. */
  readonly onTypePushed: (typeUrl: string, ms: number) => void;
  readonly onRejection: (typeUrl: string, message: string) => void;
  /** A request about something else than what was sent last. */
  readonly onExpiredNonce: () => void;
}
