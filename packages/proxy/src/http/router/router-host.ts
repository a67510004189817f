import type { Engine, HeaderMap, LocalReply, StreamInfo } from '../../engine/types.ts';
import type { ResetReason } from '../codec.ts';
import type { ChosenRoute } from '../route/route.ts';

export interface RouterOptions {
  readonly suppressEnvoyHeaders: boolean;
}

/** The exchange, as the router needs it. */
export interface RouterHost {
  readonly engine: Engine;
  readonly info: StreamInfo;
  /** Undefined: none. */
  readonly chosenRoute: ChosenRoute | undefined;
  readonly bufferLimitBytes: number;
  sendLocalReply(reply: LocalReply): void;
  respondInformational(headers: HeaderMap): void;
  respondHeaders(headers: HeaderMap, end: boolean): void;
  respondData(chunk: Buffer, end: boolean): void;
  respondTrailers(trailers: HeaderMap): void;
  /** The response broke off. */
  breakResponse(reason: ResetReason): void;
  holdRequest(): void;
  releaseRequest(): void;
  /** The client waits for bytes of another protocol: no timeouts any more. */
  onTunnel(): void;
}
