import type { ByteStream } from './byte-stream.ts';
import type { CompileContext } from './compile-context.ts';
import type { StreamInfo } from './stream-info.ts';

/** Runs before the terminal filter of a chain. */
export interface NetworkFilter {
  /** At the accepted, decrypted connection. 'close' ends it. */
  onNewConnection(connection: ByteStream, info: StreamInfo): 'continue' | 'close';
  /** The connection is over, `info` is final. */
  onComplete?(info: StreamInfo): void;
}

export type CompiledNetworkFilter =
  | { readonly kind: 'filter'; create(): NetworkFilter; close?(): void }
  | {
      readonly kind: 'terminal';
      /** Takes the connection over: sets its handlers and resumes it. Calls `done` once it is closed. */
      accept(connection: ByteStream, info: StreamInfo, done: () => void): void;
      close?(): void;
    };

export interface NetworkFilterFactory {
  readonly name: string;
  readonly typeUrls: readonly string[];
  compile(config: Uint8Array, context: CompileContext, typeUrl: string): CompiledNetworkFilter;
}
