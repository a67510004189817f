import { isIPv6, Socket } from 'node:net';
import type { SocketAddress } from '../../engine/types.ts';
import { tcpConnectError } from './connect-error.ts';

export type IpAddress = Extract<SocketAddress, { kind: 'ip' }>;

/** Head start of each address before the next family is tried too: RFC 8305 §5 allows 100 ms to 2 s. */
export const HAPPY_EYEBALLS_DELAY_MS = 300;

export interface TcpOptions {
  readonly keepaliveTimeS?: number | undefined;
  /** What connections come from: one address for each family. */
  readonly sources?: readonly IpAddress[] | undefined;
}

/**
 * The first of the addresses that answers, each started when the one before failed or took too long.
 *
 * @throws ConnectError of the last failure, or the reason of `signal`
 */
export function connectTcp(
  addresses: readonly IpAddress[],
  options: TcpOptions,
  signal: AbortSignal,
): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const attempts = new Set<Socket>();
    let next = 0;
    let timer: NodeJS.Timeout | undefined;
    const finish = (winner: Socket | undefined, error: unknown): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      for (const socket of attempts) {
        socket.removeAllListeners();
        if (socket === winner) continue;
        // A late error of a loser has nobody to listen to it.
        socket.on('error', () => undefined);
        socket.destroy();
      }
      if (winner === undefined) reject(error);
      else resolve(winner);
    };
    const onAbort = (): void => finish(undefined, signal.reason);
    const startNext = (): void => {
      clearTimeout(timer);
      const address = addresses[next++];
      if (address === undefined) return;
      const socket = new Socket({ allowHalfOpen: true });
      attempts.add(socket);
      socket.once('connect', () => finish(socket, undefined));
      socket.once('error', (error) => {
        attempts.delete(socket);
        socket.on('error', () => undefined);
        if (next < addresses.length) startNext();
        else if (attempts.size === 0) finish(undefined, tcpConnectError(error));
      });
      socket.setNoDelay(true);
      if (options.keepaliveTimeS !== undefined) socket.setKeepAlive(true, options.keepaliveTimeS * 1000);
      const family = isIPv6(address.ip) ? 6 : 4;
      const source = options.sources?.find(({ ip }) => isIPv6(ip) === (family === 6));
      socket.connect({
        host: address.ip,
        port: address.port,
        family,
        ...(source === undefined ? {} : { localAddress: source.ip, localPort: source.port }),
      });
      if (next < addresses.length) timer = setTimeout(startNext, HAPPY_EYEBALLS_DELAY_MS);
    };
    if (signal.aborted) {
      onAbort();
      return;
    }
    signal.addEventListener('abort', onAbort, { once: true });
    startNext();
  });
}
