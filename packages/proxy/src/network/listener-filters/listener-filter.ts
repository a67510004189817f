import type { AcceptedStream } from '../socket-stream.ts';

/** What a listener filter is shown: the connection, and the bytes that the client has sent so far, unread. */
export interface Inspection {
  readonly connection: AcceptedStream;
  readonly bytes: Buffer;
  /** No more bytes will come: the client ended its direction, or the limit of inspected bytes is reached. */
  readonly final: boolean;
}

export type InspectionVerdict =
  /** `consumedBytes` belong to the filter and are taken out of the stream. */
  | { readonly kind: 'continue'; readonly consumedBytes?: number }
  | { readonly kind: 'need-more' }
  | { readonly kind: 'reject'; readonly reason: string };

/** Learns something about a connection before a filter chain is chosen. Stateless: called again with more bytes. */
export interface ListenerFilter {
  readonly name: string;
  inspect(inspection: Inspection): InspectionVerdict;
}

export const proceed: InspectionVerdict = { kind: 'continue' };
export const needMore: InspectionVerdict = { kind: 'need-more' };
