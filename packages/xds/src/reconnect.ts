import grpc from '@grpc/grpc-js';

/** How a connection to the control plane ended. */
export type Ending =
  /** No stream could be opened, or what came through it can't be discovery. */
  | { readonly kind: 'not connected' | 'malformed' }
  | {
      readonly kind: 'status';
      readonly code: grpc.status;
      readonly details: string;
      readonly delivered: boolean;
    }
  | { readonly kind: 'clean end' | 'other error'; readonly delivered: boolean };

export type Reconnect = 'at once' | 'soon' | 'after back-off';

const BASE_MS = 10;
const MAX_BACKOFF_MS = 15_000;
/** Spread of the back-off, so that a fleet doesn't return in step. */
const JITTER = 0.2;

/**
 * Codes that a transport failure gets in ztunnel's gRPC library. In grpc-js the same failures of an open stream are
 * UNAVAILABLE "Connection dropped" or INTERNAL "Received RST_STREAM …".
 */
const transportCodes: readonly grpc.status[] = [
  grpc.status.UNKNOWN,
  grpc.status.CANCELLED,
  grpc.status.DEADLINE_EXCEEDED,
];
const transportDetails =
  /transport is closing|received prior goaway|connection dropped|connection closed|RST_STREAM|ECONNRESET/i;

/**
 * ztunnel's reconnect rules. One addition: what ended without having delivered anything counts as a failure, as a
 * server that accepts and ends every stream would otherwise be asked a hundred times a second by each node.
 */
export function reconnectAfter(ending: Ending): Reconnect {
  if (!('delivered' in ending) || !ending.delivered) return 'after back-off';
  if (ending.kind !== 'status') return 'at once';
  return isOfTransport(ending) ? 'soon' : 'after back-off';
}

/** What ztunnel's metric of connections that ended calls it. */
export function terminationReason(ending: Ending): 'ConnectionError' | 'Error' | 'Reconnect' | 'Complete' {
  switch (ending.kind) {
    case 'not connected':
      return 'ConnectionError';
    case 'clean end':
      return 'Complete';
    case 'status':
      return isOfTransport(ending) ? 'Reconnect' : 'Error';
    case 'malformed':
    case 'other error':
      return 'Error';
  }
}

function isOfTransport({ code, details }: { readonly code: grpc.status; readonly details: string }): boolean {
  if (transportCodes.includes(code)) return true;
  const carriesTransport = code === grpc.status.UNAVAILABLE || code === grpc.status.INTERNAL;
  return carriesTransport && transportDetails.test(details);
}

/** The delay before the next attempt: 20 ms doubling to 15 s while attempts fail. */
export class ReconnectDelay {
  private backoffMs = BASE_MS;
  private readonly random: () => number;

  constructor(random: () => number = Math.random) {
    this.random = random;
  }

  next(reconnect: Reconnect): number {
    if (reconnect !== 'after back-off') {
      this.backoffMs = BASE_MS;
      return reconnect === 'soon' ? BASE_MS : 0;
    }
    this.backoffMs = Math.min(2 * this.backoffMs, MAX_BACKOFF_MS);
    return Math.min(MAX_BACKOFF_MS, this.backoffMs * (1 + JITTER * (2 * this.random() - 1)));
  }
}
