import { createSocket } from 'node:dgram';
import { createUdpSocket, inNetworkNamespace } from '@weft/linux';
import { isResponseTo } from './message-reader.ts';
import { StreamFrames, framed } from './stream-frames.ts';
import type { DnsTransport } from './response-cache.ts';
import { dial } from '../data/dial.ts';
import type { SocketSettings } from '../data/messages.ts';
import { ipFamily, type SocketAddress } from '../state/ip-address.ts';

export interface ExchangeOptions {
  /** Where the sockets are made; undefined for the process's own namespace. */
  readonly namespaceFd: number | undefined;
  readonly sockets: SocketSettings;
  readonly server: SocketAddress;
  readonly request: Buffer;
  readonly signal: AbortSignal;
}

/** One request to one server, over the transport that the client used. Rejects when the signal aborts. */
export function exchangeWith(options: ExchangeOptions, transport: DnsTransport): Promise<Buffer> {
  return transport === 'udp' ? exchangeDatagrams(options) : exchangeStream(options);
}

/** A socket for each request: its random port is half of what keeps forged answers out (RFC 5452). */
async function exchangeDatagrams(options: ExchangeOptions): Promise<Buffer> {
  const { namespaceFd, sockets, server, request, signal } = options;
  signal.throwIfAborted();
  const family = ipFamily(server.ip);
  const fd = inNetworkNamespace({ fd: namespaceFd }, () =>
    createUdpSocket({ family, ...(sockets.mark === undefined ? {} : { mark: sockets.mark }) }),
  );
  const socket = createSocket({
    type: family === 6 ? 'udp6' : 'udp4',
    lookup: (host, _, done) => done(null, host, family), // it is an address
  });
  let onAbort: (() => void) | undefined;
  try {
    return await new Promise((resolve, reject) => {
      onAbort = () => reject(signal.reason);
      signal.addEventListener('abort', onAbort, { once: true });
      socket.on('error', reject);
      // Whatever else arrives is forged, or late: the wait goes on.
      socket.on('message', (response) => {
        if (isResponseTo(response, request)) resolve(response);
      });
      socket.bind({ fd });
      // Connected, so that only this server is heard, and its ICMP errors too.
      socket.connect(server.port, server.ip, () => socket.send(request));
    });
  } finally {
    if (onAbort !== undefined) signal.removeEventListener('abort', onAbort);
    socket.close();
  }
}

async function exchangeStream(options: ExchangeOptions): Promise<Buffer> {
  const { namespaceFd, sockets, server, request, signal } = options;
  const socket = await dial({ namespaceFd, target: server, settings: sockets, signal });
  const onAbort = (): void => void socket.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    socket.write(framed(request));
    const frames = new StreamFrames();
    for await (const chunk of socket) {
      for (const response of frames.push(chunk as Buffer)) return response; // sockets yield Buffers
    }
    throw new Error('closed without an answer');
  } finally {
    signal.removeEventListener('abort', onAbort);
    socket.destroy();
  }
}
