import { Socket } from 'node:net';
import { connectSocket, type CancelSignal, type Reactor, type ReactorSocket } from '@weft/hbone';
import { createTcpSocket, inNetworkNamespace, setTcpOptions } from '@weft/linux';
import { ipFamily, type IpAddress, type SocketAddress } from '../state/ip-address.ts';
import type { SocketSettings } from './messages.ts';

export const CONNECT_TIMEOUT_MS = 10_000;

export interface DialRequest {
  readonly namespaceFd: number | undefined;
  readonly target: SocketAddress;
  readonly bindSource?: IpAddress | undefined;
  readonly settings: SocketSettings;
  readonly signal: CancelSignal;
}

/** A failure to connect, in place of Node's, which says less about a timeout. */
export class DialError extends Error {
  readonly code: string;
  constructor(code: string, message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'DialError';
    this.code = code;
  }
}

/** A connected socket made in a pod's network namespace. Rejects with a DialError, or the signal's reason. */
export function dial(request: DialRequest): Promise<Socket> {
  const { target, signal } = request;
  return new Promise((resolve, reject) => {
    if (signal.aborted) throw signal.reason;
    const fd = openSocket(request);
    const socket = new Socket({ fd, allowHalfOpen: true });
    // It may fail before whoever gets it listens, while a certificate is waited for; they learn of it by its close.
    socket.on('error', () => undefined);
    const settle = (error?: unknown): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      socket.off('error', settle);
      socket.off('connect', onConnect);
      if (error === undefined) return resolve(socket);
      socket.destroy();
      reject(signal.aborted ? signal.reason : dialError(error));
    };
    const onConnect = (): void => settle();
    const onAbort = (): void => settle(signal.reason);
    const timer = setTimeout(() => {
      settle(timedOut());
    }, CONNECT_TIMEOUT_MS);
    signal.addEventListener('abort', onAbort, { once: true });
    socket.once('error', settle);
    socket.once('connect', onConnect);
    socket.connect({ host: target.ip, port: target.port });
  });
}

/** The same on a reactor. */
export async function dialOnReactor(reactor: Reactor, request: DialRequest): Promise<ReactorSocket> {
  const { target, signal } = request;
  if (signal.aborted) throw signal.reason;
  const timeout = { ms: CONNECT_TIMEOUT_MS, error: timedOut };
  try {
    return await connectSocket(reactor, openSocket(request), { ...target, signal, timeout });
  } catch (error) {
    throw signal.aborted ? signal.reason : dialError(error);
  }
}

function openSocket({ namespaceFd, target, bindSource, settings }: DialRequest): number {
  const make = (): { fd: number } =>
    createTcpSocket({
      family: ipFamily(target.ip),
      ...(settings.mark === undefined ? {} : { mark: settings.mark }),
      ...(bindSource === undefined ? {} : { bindAddress: bindSource }),
    });
  const { fd } = inNetworkNamespace({ fd: namespaceFd }, make);
  setTcpOptions(fd, {
    noDelay: true,
    ...(settings.keepAlive === undefined ? {} : { keepAlive: settings.keepAlive }),
    ...(settings.userTimeoutMs === undefined ? {} : { userTimeoutMs: settings.userTimeoutMs }),
  });
  return fd;
}

function timedOut(): DialError {
  return new DialError('ETIMEDOUT', `no answer within ${CONNECT_TIMEOUT_MS / 1000} s`);
}

function dialError(error: unknown): DialError {
  if (error instanceof DialError) return error;
  const code = typeof error === 'object' && error !== null && 'code' in error ? String(error.code) : 'EIO';
  return new DialError(code, code, error);
}
