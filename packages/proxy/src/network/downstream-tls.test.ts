import { createServer, type AddressInfo } from 'node:net';
import { connect as connectTls, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import type { WorkloadCertificate } from '@weft/spiffe';
import type { ByteStream, Secret } from '../engine/types.ts';
import { testContext, testEngine } from '../testing/compile.ts';
import { MeshIdentities } from '../testing/mesh-identities.ts';
import { createConnectionInfo } from './connection-info.ts';
import { DownstreamTls, type TlsFailure } from './downstream-tls.ts';
import { createPipe } from './internal-pipe.ts';
import { localAddressOf, remoteAddressOf } from './socket-address.ts';
import { SocketStream } from './socket-stream.ts';
import { StreamDuplex } from './stream-duplex.ts';

const CLIENT = 'spiffe://cluster.local/ns/shop/sa/client';
const SERVER = 'spiffe://cluster.local/ns/shop/sa/server';
const STRANGER = 'spiffe://other.mesh/ns/shop/sa/client';

let mesh: MeshIdentities;
let otherMesh: MeshIdentities;
let client: WorkloadCertificate;
let server: WorkloadCertificate;
let stranger: WorkloadCertificate;
const cleanups: (() => unknown)[] = [];

beforeAll(async () => {
  [mesh, otherMesh] = await Promise.all([MeshIdentities.create(), MeshIdentities.create()]);
  client = await mesh.issue(CLIENT);
  server = await mesh.issue(SERVER);
  stranger = await mesh.issue(STRANGER);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

interface TlsServer {
  readonly tls: DownstreamTls;
  readonly secure: ByteStream[];
  readonly failures: TlsFailure[];
  readonly port: number;
  readonly rotate: (secret: Secret) => void;
}

async function start(
  o: { readonly withSecret?: boolean; readonly requireClient?: boolean } = {},
): Promise<TlsServer> {
  const watchers = new Map<string, (secret: Secret) => void>();
  const engine = testEngine({
    secrets: {
      watch: ({ name }, onChange) => {
        watchers.set(name, onChange);
        return () => undefined;
      },
    },
  });
  const config = envoyFromJson('envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext', {
    require_client_certificate: o.requireClient ?? true,
    common_tls_context: {
      alpn_protocols: ['h2', 'http/1.1'],
      tls_certificate_sds_secret_configs: [{ name: 'default', sds_config: { ads: {} } }],
      validation_context: {
        trusted_ca: { inline_string: client.rootsPem },
        match_typed_subject_alt_names: [{ san_type: 'URI', matcher: { prefix: 'spiffe://cluster.local/' } }],
      },
    },
  });
  const tls = new DownstreamTls(config, testContext(engine));
  cleanups.push(() => tls.close());
  const rotate = (secret: Secret): void => watchers.get('default')?.(secret);
  if (o.withSecret !== false) rotate(secretOf(server));
  const secure: ByteStream[] = [];
  const failures: TlsFailure[] = [];
  const listening = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    const info = createConnectionInfo({
      remoteAddress: remoteAddressOf(socket),
      localAddress: localAddressOf(socket),
      startTimeMs: 0,
    });
    tls.handshake(new SocketStream(socket, info), {
      onSecure: (connection) => {
        secure.push(connection);
        connection.onData = (chunk) => connection.write(chunk);
        connection.onEnd = () => connection.end();
        connection.resume();
      },
      onFailure: (failure) => failures.push(failure),
    });
  });
  await new Promise<void>((resolve) => {
    listening.listen(0, '127.0.0.1', resolve);
  });
  cleanups.push(() => listening.close());
  // A TCP server's address is always this.
  return { tls, secure, failures, port: (listening.address() as AddressInfo).port, rotate };
}

function secretOf({ chainPem, keyPem }: WorkloadCertificate): Secret {
  return { kind: 'certificate', chainPem, keyPem };
}

async function dial(
  port: number,
  o: ConnectionOptions = {},
  certificate?: WorkloadCertificate,
): Promise<TLSSocket> {
  const socket = connectTls({
    port,
    host: '127.0.0.1',
    ca: server.rootsPem,
    checkServerIdentity: () => undefined,
    ALPNProtocols: ['h2'],
    ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.keyPem }),
    ...o,
  });
  cleanups.push(() => socket.destroy());
  socket.on('error', () => undefined);
  await new Promise<void>((resolve, reject) => {
    socket.once('secureConnect', resolve);
    socket.once('close', () => reject(new Error('closed')));
  });
  return socket;
}

async function echo(socket: TLSSocket, text: string): Promise<string> {
  socket.write(text);
  return new Promise((resolve, reject) => {
    socket.once('data', (chunk: Buffer) => resolve(chunk.toString()));
    socket.once('close', () => reject(new Error('closed')));
  });
}

const settled = async (condition: () => boolean): Promise<void> => {
  for (const deadline = Date.now() + 5_000; !condition(); ) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
};

describe('TLS of a listener', () => {
  it('tells who the client is, and what was agreed', async () => {
    const { port, secure } = await start();
    const socket = await dial(port, { servername: 'shop.example' }, client);
    expect(await echo(socket, 'hello')).toBe('hello');
    expect(secure[0]?.info).toMatchObject({
      transportProtocol: 'tls',
      requestedServerName: 'shop.example',
      tls: {
        peerUriSans: [CLIENT],
        localUriSans: [SERVER],
        peerValidated: true,
        alpn: 'h2',
        version: 'TLSv1.3',
        sni: 'shop.example',
      },
    });
  });

  it('refuses clients without a certificate', async () => {
    const { port, secure, failures } = await start();
    await dial(port).catch(() => undefined);
    await settled(() => failures.length > 0);
    expect(failures[0]).toMatchObject({ kind: 'verification', stat: 'fail_verify_no_cert' });
    expect(secure).toEqual([]);
  });

  it('lets them in where none is required, without an identity', async () => {
    const { port, secure } = await start({ requireClient: false });
    expect(await echo(await dial(port), 'hello')).toBe('hello');
    expect(secure[0]?.info.tls).toMatchObject({ peerUriSans: [], peerValidated: false });
  });

  it('refuses names of another trust domain', async () => {
    const { port, secure, failures } = await start();
    await dial(port, {}, stranger).catch(() => undefined);
    await settled(() => failures.length > 0);
    expect(failures[0]).toMatchObject({ kind: 'verification', stat: 'fail_verify_san' });
    expect(secure).toEqual([]);
  });

  it('refuses certificates of another authority, whatever their names', async () => {
    const { port, secure, failures } = await start({ requireClient: false });
    await dial(port, {}, await otherMesh.issue(CLIENT)).catch(() => undefined);
    await settled(() => failures.length > 0);
    expect(failures[0]).toMatchObject({ kind: 'verification', stat: 'fail_verify_error' });
    expect(secure).toEqual([]);
  });

  it('shows a rotated certificate to the next client, and leaves the connections that are open', async () => {
    const { port, rotate } = await start();
    const before = await dial(port, {}, client);
    const next = await mesh.issue(SERVER);
    rotate(secretOf(next));
    const after = await dial(port, {}, client);
    expect(after.getPeerX509Certificate()?.fingerprint256).toBe(next.leaf.fingerprint256);
    expect(before.getPeerX509Certificate()?.fingerprint256).toBe(server.leaf.fingerprint256);
    expect(await echo(before, 'still here')).toBe('still here');
  });

  it('keeps its certificate when a rotated one makes no sense', async () => {
    const { port, rotate } = await start();
    rotate({ kind: 'certificate', chainPem: 'garbage', keyPem: 'garbage' });
    expect(await echo(await dial(port, {}, client), 'hello')).toBe('hello');
  });

  it('closes connections while it has no certificate', async () => {
    const { port, failures } = await start({ withSecret: false });
    await expect(dial(port, {}, client)).rejects.toThrow();
    expect(failures[0]?.kind).toBe('no-certificate');
  });

  it('closes what is no TLS', async () => {
    const { port, failures } = await start();
    const { connect } = await import('node:net');
    const socket = connect(port, '127.0.0.1', () => socket.write('GET / HTTP/1.1\r\n\r\n'));
    socket.on('error', () => undefined);
    await new Promise((resolve) => {
      socket.once('close', resolve);
      socket.resume();
    });
    expect(failures[0]?.kind).toBe('handshake');
  });

  it('passes half-close on both ways', async () => {
    const { port } = await start();
    const socket = await dial(port, {}, client);
    socket.end('last words');
    const parts: Buffer[] = [];
    for await (const part of socket) parts.push(part as Buffer); // a socket gives bytes
    expect(Buffer.concat(parts).toString()).toBe('last words');
  });

  it('runs over internal connections as well', async () => {
    const { tls } = await start();
    const address = { kind: 'internal', listener: 'test', endpointId: '' } as const;
    const info = () =>
      createConnectionInfo({ remoteAddress: address, localAddress: address, startTimeMs: 0 });
    const pipe = createPipe(info(), info());
    tls.handshake(pipe.server, {
      onSecure: (connection) => {
        connection.onData = (chunk) => connection.write(chunk);
        connection.resume();
      },
      onFailure: () => undefined,
    });
    const { chainPem, keyPem } = client;
    const socket = connectTls({
      socket: new StreamDuplex(pipe.client),
      ca: server.rootsPem,
      cert: chainPem,
      key: keyPem,
      checkServerIdentity: () => undefined,
    });
    cleanups.push(() => socket.destroy());
    socket.on('error', () => undefined);
    await new Promise((resolve) => {
      socket.once('secureConnect', resolve);
    });
    expect(await echo(socket, 'inside')).toBe('inside');
  });

  it('cannot be configured without a certificate', () => {
    const { DownstreamTlsContext } = envoy.extensions.transport_sockets.tls.v3;
    const empty = DownstreamTlsContext.encode({ commonTlsContext: {} }).finish();
    expect(() => new DownstreamTls(empty, testContext())).toThrow('no certificate');
  });
});
