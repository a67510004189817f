import { once } from 'node:events';
import { connect } from 'node:net';
import { Backoff, WeftError, describeError, systemClock, type Clock, type Logger } from '@weft/telemetry';
import { runNriSession, type NriSessionOptions } from './nri-session.ts';

export interface NriClientOptions extends Pick<NriSessionOptions, 'onPod'> {
  readonly socketPath: string;
  /** Whether the runtime asks us before any pod starts. */
  readonly onConnectedChange: (connected: boolean) => void;
  readonly onError?: (error: WeftError) => void;
  readonly logger: Logger;
  readonly clock?: Clock;
}

const RETRY = { initialMs: 100, maxMs: 5_000 } as const;

/** Stays connected to the container runtime until the signal aborts: it may come later, and restart. */
export async function runNriClient(o: NriClientOptions, signal: AbortSignal): Promise<void> {
  const backoff = new Backoff(RETRY);
  let isReported = false;
  while (!signal.aborted) {
    try {
      await runOnce(o, signal, () => {
        backoff.reset();
        isReported = false;
      });
      if (!signal.aborted)
        o.logger.warn('the container runtime closed the connection of NRI', { code: 'WEFT1712' });
    } catch (error) {
      const failure = WeftError.is(error) ? error : new WeftError('WEFT1712', o.socketPath, { cause: error });
      o.onError?.(failure);
      // Once at warn; a node that is starting up needn't be told every few seconds.
      if (isReported) o.logger.debug(describeError(failure));
      else o.logger.warn(describeError(failure), { code: failure.code });
      isReported = true;
    }
    await (o.clock ?? systemClock).sleep(backoff.next(), signal);
  }
}

async function runOnce(o: NriClientOptions, signal: AbortSignal, onReady: () => void): Promise<void> {
  const socket = connect({ path: o.socketPath });
  try {
    await once(socket, 'connect', { signal });
    const session = {
      onPod: o.onPod,
      onReady: (runtime: string) => {
        o.logger.info('the container runtime asks before it starts pods', { runtime });
        onReady();
        o.onConnectedChange(true);
      },
      logger: o.logger,
    };
    await runNriSession(socket, session, signal);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    socket.destroy();
    o.onConnectedChange(false);
  }
}
