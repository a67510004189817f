import { createServer as createHttpServer, type IncomingHttpHeaders } from 'node:http';
import {
  connect as connectTcp,
  createServer as createTcpServer,
  type AddressInfo,
  type Server,
} from 'node:net';
import type { Duplex } from 'node:stream';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { HbonePool, HboneServer, relay, socketEnd, tunnelEnd, type Tunnel } from '@weft/hbone';
import { toSpiffeId, type WorkloadCertificate } from '@weft/spiffe';
import { parseBootstrap } from './config/bootstrap.ts';
import { Proxy } from './proxy.ts';
import { MeshIdentities } from './testing/mesh-identities.ts';
import { waypointBootstrap, type LayoutService } from './testing/waypoint-layout.ts';

const CLIENT = 'spiffe://cluster.local/ns/shop/sa/client';
const WAYPOINT = 'spiffe://cluster.local/ns/shop/sa/waypoint';
const SERVER = 'spiffe://cluster.local/ns/shop/sa/server';
const STRANGER = 'spiffe://other.mesh/ns/shop/sa/client';
const VIP = '240.240.0.1';

let identities: MeshIdentities;
const certificates = new Map<string, WorkloadCertificate>();
const cleanups: (() => unknown)[] = [];
/** What the tunnels to the workload looked like from its ztunnel. */
let tunnels: {
  readonly authority: string;
  readonly peer: string | undefined;
  readonly headers: readonly string[];
}[] = [];
let applicationPort: number;
let echoPort: number;
let ztunnelPort: number;

beforeAll(async () => {
  identities = await MeshIdentities.create();
  for (const id of [CLIENT, WAYPOINT, SERVER, STRANGER]) certificates.set(id, await identities.issue(id));
});

const certificateOf = (id: string): WorkloadCertificate => {
  const certificate = certificates.get(id);
  if (certificate === undefined) throw new Error(`no certificate for ${id}`);
  return certificate;
};

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  // A TCP server's address is always this.
  return (server.address() as AddressInfo).port;
}

/** The workload: an HTTP application, a server that speaks first, and the ztunnel of its node. */
beforeAll(async () => {
  const application = createHttpServer((request, response) => {
    const parts: Buffer[] = [];
    request.on('data', (part: Buffer) => parts.push(part));
    request.on('end', () => {
      const { method, url, headers } = request;
      const body = Buffer.concat(parts).toString();
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ method, url, headers, body }));
    });
  });
  applicationPort = await listen(application);
  const echo = createTcpServer({ allowHalfOpen: true }, (socket) => {
    socket.on('error', () => undefined);
    socket.write('banner\n');
    socket.pipe(socket);
  });
  echoPort = await listen(echo);
  const ztunnel = new HboneServer({
    certificateFor: async () => certificateOf(SERVER),
    onConnect: (request) => {
      tunnels.push({
        authority: request.authority,
        peer: request.peerIdentity,
        headers: [...request.headers.keys()],
      });
      const socket = connectTcp({ host: '127.0.0.1', port: request.target.port, allowHalfOpen: true });
      socket.once('error', () => request.reject(503));
      socket.once('connect', () => {
        socket.removeAllListeners('error');
        const counts = { received: 0, sent: 0 };
        relay(tunnelEnd(request.accept()), socketEnd(socket), counts, new AbortController().signal).catch(
          () => undefined,
        );
      });
    },
  });
  const sockets = createTcpServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) =>
    ztunnel.accept(socket),
  );
  ztunnelPort = await listen(sockets);
  afterAllTasks.push(() => {
    application.closeAllConnections();
    application.close();
    echo.close();
    sockets.close();
    ztunnel.destroy();
  });
});
const afterAllTasks: (() => void)[] = [];
afterAll(() => {
  for (const task of afterAllTasks) task();
});
afterEach(async () => {
  tunnels = [];
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

async function waypoint(
  services: readonly LayoutService[],
): Promise<{ readonly proxy: Proxy; readonly port: number }> {
  const proxy = new Proxy({
    bootstrap: parseBootstrap(waypointBootstrap({ trustDomain: 'cluster.local', ztunnelPort, services })),
    embedding: {
      secretServers: new Map([['sds-grpc', identities.secretServer(certificateOf(WAYPOINT))]]),
    },
  });
  cleanups.push(() => proxy.close());
  await proxy.start();
  const [address = ''] =
    proxy.listeners.status().find(({ name }) => name === 'connect_terminate')?.addresses ?? [];
  return { proxy, port: Number(address.slice(address.lastIndexOf(':') + 1)) };
}

/** A tunnel of the client's ztunnel to the waypoint, for a connection to `authority`. */
async function tunnel(
  port: number,
  authority: string,
  o: { readonly source?: string; readonly headers?: Readonly<Record<string, string>> } = {},
): Promise<Tunnel> {
  const { source = CLIENT, headers = {} } = o;
  const pool = new HbonePool({
    dial: () =>
      new Promise((resolve, reject) => {
        const socket = connectTcp({ host: '127.0.0.1', port, allowHalfOpen: true });
        socket.once('error', reject);
        socket.once('connect', () => {
          socket.off('error', reject);
          resolve(socket);
        });
      }),
    certificateFor: async (id) => certificateOf(id),
  });
  cleanups.push(() => pool.close());
  return pool.connect({
    source: toSpiffeId(source),
    acceptable: [WAYPOINT],
    address: { ip: '127.0.0.1', port },
    sourceIp: '127.0.0.1',
    authority,
    headers,
  });
}

interface Reply {
  readonly status: number;
  readonly head: string;
  readonly body: string;
}

/** One HTTP/1.1 request through a tunnel, whose connection the server closes after it. */
async function exchange(stream: Duplex, request: string): Promise<Reply> {
  stream.write(request);
  const parts: Buffer[] = [];
  for await (const part of stream) parts.push(part as Buffer); // a tunnel carries bytes
  stream.end();
  const [head = '', ...rest] = Buffer.concat(parts).toString().split('\r\n\r\n');
  return { status: Number(head.split(' ')[1]), head, body: rest.join('\r\n\r\n') };
}

const get = (path: string, headers = '') =>
  `GET ${path} HTTP/1.1\r\nhost: shop.example\r\nconnection: close\r\n${headers}\r\n`;

const service = (o: Partial<LayoutService> = {}): LayoutService => ({
  vip: VIP,
  port: 80,
  host: 'shop.shop.svc.cluster.local',
  protocol: 'http',
  endpoints: [{ address: `127.0.0.1:${applicationPort}`, identity: SERVER }],
  ...o,
});

function seen(reply: Reply): {
  readonly url: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
} {
  return JSON.parse(unchunked(reply)) as ReturnType<typeof seen>; // written by the application above
}

function unchunked({ head, body }: Reply): string {
  if (!/transfer-encoding: chunked/i.test(head)) return body;
  return body
    .split('\r\n')
    .filter((_, i) => i % 2 === 1)
    .join('');
}

describe('the layout of a waypoint', () => {
  it('carries a request from tunnel to tunnel, as the waypoint', async () => {
    const { port } = await waypoint([service()]);
    const { stream, responseHeaders } = await tunnel(port, `${VIP}:80`);
    const reply = await exchange(stream.toDuplex(), get('/cart?x=1'));
    expect(reply.status).toBe(200);
    expect(seen(reply)).toMatchObject({ url: '/cart?x=1', headers: { host: 'shop.example' } });
    expect(tunnels).toEqual([{ authority: `127.0.0.1:${applicationPort}`, peer: WAYPOINT, headers: [] }]);
    expect(responseHeaders.get(':status') ?? '200').toBe('200');
  });

  it('speaks HTTP/2 with clients that begin so, on a port whose protocol is not declared', async () => {
    const { port } = await waypoint([service({ protocol: 'auto' })]);
    const { stream } = await tunnel(port, `${VIP}:80`);
    const { connect } = await import('node:http2');
    const session = connect('http://shop.example', { createConnection: () => stream.toDuplex() });
    cleanups.push(() => session.destroy());
    const request = session.request({ ':path': '/h2' });
    const status = await new Promise((resolve, reject) => {
      request.once('response', (headers) => resolve(headers[':status']));
      request.once('error', reject);
    });
    expect(status).toBe(200);
    request.close();
  });

  it('lets servers speak first on declared TCP ports, with half-close both ways', async () => {
    const tcp = service({ port: 9000, protocol: 'tcp', endpoints: [{ address: `127.0.0.1:${echoPort}` }] });
    const { port } = await waypoint([service(), tcp]);
    const { stream } = await tunnel(port, `${VIP}:9000`);
    const duplex = stream.toDuplex();
    const banner = await new Promise<Buffer>((resolve) => {
      duplex.once('data', resolve);
    });
    expect(banner.toString()).toBe('banner\n');
    duplex.end('hello');
    const rest: Buffer[] = [];
    duplex.on('data', (part: Buffer) => rest.push(part));
    await new Promise((resolve) => {
      duplex.once('end', resolve);
    });
    expect(Buffer.concat(rest).toString()).toBe('hello');
  });

  it('passes what is no HTTP on as TCP where the protocol is not declared', async () => {
    const auto = service({ protocol: 'auto', endpoints: [{ address: `127.0.0.1:${echoPort}` }] });
    const { port } = await waypoint([auto]);
    const { stream } = await tunnel(port, `${VIP}:80`);
    const duplex = stream.toDuplex();
    duplex.end('no http here\n');
    const parts: Buffer[] = [];
    for await (const part of duplex) parts.push(part as Buffer); // a tunnel carries bytes
    expect(Buffer.concat(parts).toString()).toBe('banner\nno http here\n');
  });

  it('answers 200 to a CONNECT before it looks for the target, and resets it where there is none', async () => {
    const { port } = await waypoint([service()]);
    const { stream } = await tunnel(port, '240.240.9.9:80');
    const closed = await new Promise<object>((resolve) => {
      stream.attach({
        onData: () => undefined,
        onEnd: () => undefined,
        onDrain: () => undefined,
        onClose: resolve,
      });
    });
    expect(closed).toMatchObject({ kind: 'reset', by: 'peer' });
  });

  it('takes clients of its own trust domain only', async () => {
    const { port } = await waypoint([service()]);
    await expect(tunnel(port, `${VIP}:80`, { source: STRANGER })).rejects.toThrow();
  });

  it('refuses a workload that is not who the endpoint says', async () => {
    const impostor = { address: `127.0.0.1:${applicationPort}`, identity: `${SERVER}-v2` };
    const { port } = await waypoint([service({ endpoints: [impostor] })]);
    const { stream } = await tunnel(port, `${VIP}:80`);
    const reply = await exchange(stream.toDuplex(), get('/'));
    expect(reply.status).toBe(503);
    expect(tunnels).toEqual([]);
  });

  it('shows policies the certified client, whatever the client claims', async () => {
    const allowOnly = (principal: string) => ({
      name: 'envoy.filters.http.rbac',
      typed_config: {
        '@type': 'type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC',
        rules: {
          action: 'ALLOW',
          policies: {
            'ns[shop]-policy[allow]-rule[0]': {
              permissions: [{ header: { name: ':method', string_match: { exact: 'GET' } } }],
              principals: [
                { filter_state: { key: 'io.istio.peer_principal', string_match: { exact: principal } } },
              ],
            },
          },
        },
      },
    });
    const { port } = await waypoint([
      service({ httpFilters: [allowOnly(CLIENT)] }),
      service({ port: 81, httpFilters: [allowOnly(SERVER)] }),
    ]);
    const ask = async (to: number, request: string) => {
      const headers = { 'x-forwarded-for': '10.1.1.1', 'x-forwarded-client-cert': `URI=${SERVER}` };
      const { stream } = await tunnel(port, `${VIP}:${to}`, { headers });
      return exchange(stream.toDuplex(), request);
    };
    expect((await ask(80, get('/'))).status).toBe(200);
    const post = get('/').replace('GET', 'POST').replace('\r\n\r\n', '\r\ncontent-length: 0\r\n\r\n');
    expect(await ask(80, post)).toMatchObject({ status: 403, body: 'RBAC: access denied' });
    expect((await ask(81, get('/'))).status).toBe(403);
  });

  it('answers 503 when the workload refuses the connection', async () => {
    const { port } = await waypoint([service({ endpoints: [{ address: '127.0.0.1:1', identity: SERVER }] })]);
    const { stream } = await tunnel(port, `${VIP}:80`);
    const reply = await exchange(stream.toDuplex(), get('/'));
    expect(reply.status).toBe(503);
  });

  it('leaves no connection behind', async () => {
    const { proxy, port } = await waypoint([service()]);
    const { stream } = await tunnel(port, `${VIP}:80`);
    await exchange(stream.toDuplex(), get('/'));
    await proxy.close();
    expect(proxy.listeners.activeConnections).toBe(0);
  });
});
