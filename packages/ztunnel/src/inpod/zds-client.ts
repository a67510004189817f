import {
  adoptNetworkNamespace,
  closeDescriptor,
  type SeqpacketConnection,
  type SeqpacketPacket,
} from '@weft/linux';
import {
  Backoff,
  describeError,
  systemClock,
  systemErrorCode,
  WeftError,
  type Logger,
} from '@weft/telemetry';
import { ZdsViolation, type PodManager } from './pod-manager.ts';
import { encodeAck, encodeHello, parseZdsRequest } from './zds-packet.ts';

const RETRY_PENDING_MS = 5_000;
const BACKOFF_MIN_MS = 20;
const BACKOFF_MAX_MS = 15_000;
/** The agent waits for each answer; one that doesn't is cut off here. */
const MAX_QUEUED_PACKETS = 16;

export interface ZdsClientOptions {
  readonly pods: PodManager;
  readonly connect: () => SeqpacketConnection;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told about each failure, to count it. */
  readonly onError?: (error: WeftError) => void;
}

/**
 * Keeps a connection to the CNI agent and answers its requests one by one, until the signal aborts. Rejects
 * with a ZdsViolation when the agent broke the protocol; the process should end then.
 */
export async function runZdsClient(options: ZdsClientOptions): Promise<void> {
  const { pods, connect, logger, signal, onError } = options;
  const retry = setInterval(() => void pods.retryPending(), RETRY_PENDING_MS);
  const backoff = new Backoff({ initialMs: BACKOFF_MIN_MS, maxMs: BACKOFF_MAX_MS });
  let isReported = false;
  try {
    while (!signal.aborted) {
      try {
        const connection = connect();
        const isSynced = await serve(connection, options);
        if (isSynced) {
          backoff.reset();
          isReported = false;
        }
        if (!signal.aborted) logger.warn('the CNI agent closed the connection', { code: 'WEFT1332' });
      } catch (error) {
        if (error instanceof ZdsViolation) throw error;
        const failure = new WeftError('WEFT1332', `cannot reach the CNI agent`, { cause: error });
        onError?.(failure);
        // Once at warn; a node that is starting up needn't be told every few seconds.
        if (isReported) logger.debug(describeError(failure));
        else logger.warn(describeError(failure), { code: failure.code, reason: systemErrorCode(error) });
        isReported = true;
      }
      await systemClock.sleep(backoff.next(), signal);
    }
  } finally {
    clearInterval(retry);
  }
}

/** Serves one connection to its end. Resolves to whether it got as far as a snapshot. */
async function serve(connection: SeqpacketConnection, options: ZdsClientOptions): Promise<boolean> {
  const { pods, signal, logger, onError } = options;
  const queue: SeqpacketPacket[] = [];
  let wake = (): void => undefined;
  let isOpen = true;
  let isSynced = false;
  const close = (): void => {
    isOpen = false;
    connection.close();
    wake();
  };
  connection.onPacket = (packet) => {
    queue.push(packet);
    if (queue.length > MAX_QUEUED_PACKETS) close();
    wake();
  };
  connection.onClose = close;
  signal.addEventListener('abort', close, { once: true });
  try {
    if (signal.aborted) return false;
    await pods.beginSession();
    connection.send(encodeHello());
    while (isOpen) {
      const packet = queue.shift();
      if (packet === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      const outcome = await handle(packet, pods);
      if (outcome.error !== undefined) onError?.(outcome.error);
      if (isOpen) connection.send(encodeAck(outcome.error));
      if (outcome.kind === 'violation') throw outcome.error;
      if (outcome.kind === 'close') {
        logger.warn(describeError(outcome.error), { code: outcome.error.code });
        close();
      }
      isSynced ||= outcome.kind === 'synced';
    }
    return isSynced;
  } finally {
    signal.removeEventListener('abort', close);
    close();
    for (const { fds } of queue) fds.forEach(closeDescriptor);
    await pods.endSession();
  }
}

type Outcome =
  | { readonly kind: 'ok' | 'synced' | 'failed'; readonly error?: WeftError }
  | { readonly kind: 'close' | 'violation'; readonly error: WeftError };

async function handle(packet: SeqpacketPacket, pods: PodManager): Promise<Outcome> {
  let isTaken = false;
  try {
    const request = parseZdsRequest(packet);
    switch (request.kind) {
      case 'add':
        isTaken = true;
        await pods.add(request.pod, adoptNetworkNamespace(request.namespaceFd));
        return { kind: 'ok' };
      case 'keep':
        await pods.keep(request.uid);
        return { kind: 'ok' };
      case 'delete':
        await pods.delete(request.uid);
        return { kind: 'ok' };
      case 'snapshot-sent':
        await pods.snapshotSent();
    }
    return { kind: 'synced' };
  } catch (error) {
    if (error instanceof ZdsViolation) return { kind: 'violation', error };
    const failure = WeftError.is(error)
      ? error
      : new WeftError('WEFT1331', 'a request failed', { cause: error });
    // A pod that couldn't be started is the node's trouble; a packet that makes no sense is the connection's.
    return { kind: failure.code === 'WEFT1330' ? 'failed' : 'close', error: failure };
  } finally {
    if (!isTaken) packet.fds.forEach(closeDescriptor);
  }
}
