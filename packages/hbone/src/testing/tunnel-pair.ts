import { connect, createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';
import { setImmediate } from 'node:timers/promises';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import type { WeftError } from '@weft/telemetry';
import type { ConnectRequest } from '../transport/connect-request.ts';
import { HbonePool, type HbonePoolOptions, type TunnelRequest } from '../transport/pool.ts';
import { HboneServer, type HboneServerOptions } from '../transport/server.ts';
import { TestAuthority } from './certificates.ts';
import { socketEngine } from './socket-engine.ts';

export const CLIENT_ID = 'spiffe://cluster.local/ns/client/sa/client';
export const SERVER_ID = 'spiffe://cluster.local/ns/server/sa/server';

/** A pool and a server on loopback, with everything that must be closed afterwards. */
export interface TunnelPair {
  readonly authority: TestAuthority;
  readonly pool: HbonePool;
  readonly server: HboneServer;
  readonly port: number;
  readonly serverErrors: readonly WeftError[];
  readonly clientCertificate: WorkloadCertificate;
  readonly serverCertificate: WorkloadCertificate;
  /** Connections that the pool dialled. */
  dials(): number;
  request(overrides?: Partial<TunnelRequest>): TunnelRequest;
  close(): Promise<void>;
}

export async function tunnelPair(
  onConnect: (request: ConnectRequest) => void,
  o: { readonly server?: Partial<HboneServerOptions>; readonly pool?: Partial<HbonePoolOptions> } = {},
): Promise<TunnelPair> {
  const authority = await TestAuthority.create();
  const clientCertificate = await authority.issue(CLIENT_ID);
  const serverCertificate = await authority.issue(SERVER_ID);
  const serverErrors: WeftError[] = [];
  const server = new HboneServer({
    certificateFor: () => Promise.resolve(serverCertificate),
    onConnect,
    onError: (error) => void serverErrors.push(error),
    ...o.server,
  });
  const engine = socketEngine();
  const listener = await engine.listen((socket) => server.accept(socket));
  let dials = 0;
  const pool = new HbonePool({
    dial: async ({ address }) => {
      dials++;
      return engine.dial(address.port, address.ip);
    },
    certificateFor: () => Promise.resolve(clientCertificate),
    ...o.pool,
  });
  return {
    authority,
    pool,
    server,
    port: listener.port,
    serverErrors,
    clientCertificate,
    serverCertificate,
    dials: () => dials,
    request: (overrides) => ({
      source: CLIENT_ID as SpiffeId, // a constant of this file, of the right form
      acceptable: [SERVER_ID],
      address: { ip: '127.0.0.1', port: listener.port },
      sourceIp: '127.0.0.1',
      authority: '10.0.0.1:80',
      headers: {},
      ...overrides,
    }),
    close: async () => {
      pool.close();
      server.destroy();
      await listener.close();
      await setImmediate(); // what was destroyed tells so in the next turn
      engine.close();
    },
  };
}

/** Listens on a free loopback port. */
export async function listen(
  onSocket: (socket: Socket) => void,
): Promise<{ readonly listener: Server; readonly port: number }> {
  const listener = createServer({ allowHalfOpen: true }, onSocket);
  listener.listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const address = listener.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { listener, port: address.port };
}

export async function dialTcp(port: number, host = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ port, host, allowHalfOpen: true });
  await once(socket, 'connect');
  return socket;
}
