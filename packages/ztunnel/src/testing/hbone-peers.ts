import { createServer, type Server } from 'node:net';
import {
  HbonePool,
  HboneServer,
  relay,
  socketEnd,
  tunnelEnd,
  type ConnectRequest,
  type Tunnel,
} from '@weft/hbone';
import { createTcpListener, inNetworkNamespace } from '@weft/linux';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { dial } from '../data/dial.ts';
import { parseIp, type SocketAddress } from '../state/ip-address.ts';

/** HBONE peers that are not ztunnel: what waypoints, gateways and intruders do on the wire. */

interface Place {
  readonly namespace: { readonly fd: number };
  readonly certificate: WorkloadCertificate;
}

const sockets = {
  mark: undefined,
  reusePort: false,
  transparent: 'never',
  ipv6: true,
  keepAlive: undefined,
  userTimeoutMs: undefined,
} as const;

export interface HboneClient {
  connect(request: {
    readonly to: string;
    readonly authority: string;
    readonly acceptable: readonly string[];
    readonly headers?: Readonly<Record<string, string>>;
  }): Promise<Tunnel>;
  close(): void;
}

export function hboneClient({ namespace, certificate }: Place): HboneClient {
  const pool = new HbonePool({
    dial: ({ address }, signal) =>
      dial({
        namespaceFd: namespace.fd,
        target: addressOf(address.ip, address.port),
        settings: sockets,
        signal,
      }),
    certificateFor: () => Promise.resolve(certificate),
  });
  return {
    connect: ({ to, headers = {}, ...request }) =>
      pool.connect({
        ...request,
        headers,
        source: certificate.identity as SpiffeId, // as issued
        address: { ip: to, port: 15_008 },
        sourceIp: '',
      }),
    close: () => pool.close(),
  };
}

/** Serves HBONE on 15008 in a namespace. */
export function serveHbone(
  { namespace, certificate }: Place,
  onConnect: (request: ConnectRequest) => void,
): Server {
  const hbone = new HboneServer({ certificateFor: () => Promise.resolve(certificate), onConnect });
  const { fd } = inNetworkNamespace(namespace, () => createTcpListener({ host: '::', port: 15_008 }));
  const server = createServer({ allowHalfOpen: true }, (socket) => hbone.accept(socket)).listen({ fd });
  server.once('close', () => hbone.destroy());
  return server;
}

/** A waypoint that answers by itself: tells what it was asked for and by whom, then echoes. */
export function echoAsWaypoint(request: ConnectRequest): void {
  const duplex = request.accept().toDuplex();
  duplex.on('error', () => undefined);
  duplex.write(`waypoint got ${request.authority} from ${request.peerIdentity?.split('/').at(-1)}\n`);
  duplex.pipe(duplex);
}

/** A gateway to another network, which passes the inner tunnel on without looking into it. */
export function passOnTo({ namespace }: Pick<Place, 'namespace'>, target: SocketAddress) {
  return async (request: ConnectRequest): Promise<void> => {
    const { signal } = request;
    const upstream = await dial({ namespaceFd: namespace.fd, target, settings: sockets, signal });
    const counts = { received: 0, sent: 0 };
    const never = new AbortController().signal;
    await relay(tunnelEnd(request.accept()), socketEnd(upstream), counts, never).catch(() => undefined);
  };
}

export function addressOf(ip: string, port: number): SocketAddress {
  const parsed = parseIp(ip);
  if (parsed === undefined) throw new TypeError(`not an IP address: ${ip}`);
  return { ip: parsed, port };
}
