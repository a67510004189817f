import { type CancelSignal, type ConnectRequest, type RelayEnd, tunnelEnd } from '@weft/hbone';
import type { Connection } from './connection.ts';
import type { ConnectionId, HeaderList } from './messages.ts';
import { move } from './move.ts';
import { parseIp, socketAddress, type IpAddress, type SocketAddress } from '../state/ip-address.ts';

/** A CONNECT that a pod is to serve, from wherever it came. */
export interface IncomingTunnel {
  readonly peer: SocketAddress;
  readonly localIp: IpAddress;
  /** Proven. */
  readonly peerIdentity: string | undefined;
  readonly authority: string;
  readonly headers: HeaderList;
  /** The connection of this proxy that it was made for, when its bytes stay in the process. */
  readonly relayOf: ConnectionId | undefined;
  /** Aborted when the client gives up before the answer. */
  readonly signal: CancelSignal;
  /** Answers 200. What it gives back moves the bytes, until both ends have closed. */
  accept(headers: HeaderList, upstream: RelayEnd, connection: Connection): () => Promise<void>;
  /** Answers with the status alone. */
  reject(status: number): void;
}

/** All others stay in the data thread. */
const headersOfInterest: ReadonlySet<string> = new Set(['baggage', 'forwarded', 'x-forwarded-network']);

/** A CONNECT that came by HBONE; undefined if its connection has no addresses any more. */
export function tunnelOf(request: ConnectRequest): IncomingTunnel | undefined {
  const peer = socketAddress(request.remoteAddress, request.remotePort);
  const localIp = parseIp(request.localAddress);
  if (peer === undefined || localIp === undefined) return undefined;
  return {
    peer,
    localIp,
    peerIdentity: request.peerIdentity,
    authority: request.authority,
    headers: [...request.headers].filter(([name]) => headersOfInterest.has(name)),
    relayOf: undefined,
    signal: request.signal,
    accept: (headers, upstream, connection) => {
      const downstream = tunnelEnd(request.accept(Object.fromEntries(headers)));
      return () => move(downstream, upstream, connection, connection.signal);
    },
    reject: (status) => request.reject(status),
  };
}
