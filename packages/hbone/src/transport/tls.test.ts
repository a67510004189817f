import { afterEach, describe, expect, it } from '@jest/globals';
import { execFile, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect, type ConnectionOptions, type TLSSocket } from 'node:tls';
import { promisify } from 'node:util';
import type { WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import { TestAuthority } from '../testing/certificates.ts';
import {
  CLIENT_ID,
  dialTcp,
  listen,
  SERVER_ID,
  tunnelPair,
  type TunnelPair,
} from '../testing/tunnel-pair.ts';
import { hasPostQuantumGroup, POST_QUANTUM_GROUP } from './tls.ts';
import { uriNames } from './peer-certificate.ts';

const pairs: TunnelPair[] = [];
const closers: (() => void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0)) close();
  for (const pair of pairs.splice(0)) await pair.close();
});
async function pairOf(...args: Parameters<typeof tunnelPair>): Promise<TunnelPair> {
  const pair = await tunnelPair(...args);
  pairs.push(pair);
  return pair;
}
const echo: Parameters<typeof tunnelPair>[0] = (request) => {
  const duplex = request.accept().toDuplex();
  duplex.on('error', () => undefined);
  duplex.pipe(duplex);
};

/** A raw TLS client; resolves with the socket when the server closed it, or said something. */
async function tlsClient(
  pair: TunnelPair,
  certificate: WorkloadCertificate | undefined,
  o: ConnectionOptions = {},
): Promise<TLSSocket> {
  const socket = connect({
    port: pair.port,
    host: '127.0.0.1',
    ca: pair.authority.rootsPem,
    ...(certificate === undefined ? {} : { key: certificate.keyPem, cert: certificate.chainPem }),
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
    ...o,
  });
  socket.on('error', () => undefined);
  await new Promise((resolve) => {
    socket.once('close', resolve);
    socket.once('data', resolve);
  });
  return socket;
}

const codes = (pair: TunnelPair): string[] => pair.serverErrors.map((error) => error.code);

describe('the client', () => {
  it('sends no SNI, and offers h2, TLS 1.3 and its two suites alone', async () => {
    let onHello: (bytes: Buffer) => void = () => undefined;
    const hello = new Promise<Buffer>((resolve) => (onHello = resolve));
    const { listener, port } = await listen((socket) => {
      socket.on('error', () => undefined);
      socket.once('data', (bytes: Buffer) => {
        onHello(bytes);
        socket.destroy();
      });
    });
    closers.push(() => void listener.close());
    const pair = await pairOf(echo);
    const attempt = pair.pool.connect(pair.request({ address: { ip: '127.0.0.1', port } }));
    await expect(attempt).rejects.toMatchObject({ code: 'WEFT1201' });
    const { suites, extensions } = parseClientHello(await hello);
    expect(suites.filter((suite) => suite !== 0x00ff)).toEqual([0x1302, 0x1301]);
    expect([...extensions.keys()]).not.toContain(0); // server_name
    expect(extensions.get(16)?.toString('hex')).toBe('0003026832'); // ALPN
    expect(extensions.get(43)?.toString('hex')).toBe('020304'); // supported_versions
  });
});

/** The cipher suites and extensions of a ClientHello that is whole in its first record (RFC 8446 §4.1.2). */
function parseClientHello(bytes: Buffer): { suites: number[]; extensions: Map<number, Buffer> } {
  let at = 5 + 4 + 2 + 32;
  at += 1 + bytes.readUInt8(at);
  const suites: number[] = [];
  const suitesEnd = at + 2 + bytes.readUInt16BE(at);
  for (at += 2; at < suitesEnd; at += 2) suites.push(bytes.readUInt16BE(at));
  at += 1 + bytes.readUInt8(at);
  const extensions = new Map<number, Buffer>();
  const end = at + 2 + bytes.readUInt16BE(at);
  for (at += 2; at < end; ) {
    const length = bytes.readUInt16BE(at + 2);
    extensions.set(bytes.readUInt16BE(at), bytes.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return { suites, extensions };
}

describe('TLS settings', () => {
  it('take TLS 1.2 with its four suites when told, on both sides', async () => {
    const pair = await pairOf(echo, { server: { tls: { tls12: true } }, pool: { tls: { tls12: true } } });
    const old = { maxVersion: 'TLSv1.2' as const };
    const socket = await tlsClient(pair, pair.clientCertificate, old);
    expect(socket.getProtocol()).toBe('TLSv1.2');
    socket.destroy();
    const cbc = { ...old, ciphers: 'ECDHE-ECDSA-AES128-SHA256' };
    await tlsClient(pair, pair.clientCertificate, cbc);
    expect(codes(pair)).toEqual(['WEFT1201']);
    const tunnel = await pair.pool.connect(pair.request());
    expect(tunnel.peerIdentity).toBe(SERVER_ID);
  });

  it('know whether this OpenSSL has the post-quantum key exchange, which came with 3.5', () => {
    // In a process of its own: the refusal stays in OpenSSL's queue of errors.
    const script = `require('node:tls').createSecureContext({ ecdhCurve: '${POST_QUANTUM_GROUP}' })`;
    const { status } = spawnSync(process.execPath, ['-e', script]);
    expect(hasPostQuantumGroup()).toBe(status === 0);
  });

  // Without it, ztunnel refuses to start with that setting.
  if (hasPostQuantumGroup())
    it('keep to the post-quantum key exchange when told', async () => {
      const tls = { postQuantumOnly: true };
      const pair = await pairOf(echo, { server: { tls }, pool: { tls } });
      expect((await pair.pool.connect(pair.request())).peerIdentity).toBe(SERVER_ID);
      await tlsClient(pair, pair.clientCertificate, { ecdhCurve: 'X25519' });
      expect(codes(pair)).toEqual(['WEFT1201']);
    });
});

describe('the server', () => {
  it.each([
    ['without a certificate', 'WEFT1201', async () => ({})],
    [
      'of another authority',
      'WEFT1201',
      async () => ({ certificate: await (await TestAuthority.create()).issue(CLIENT_ID) }),
    ],
    [
      'with a server-only certificate',
      'WEFT1201',
      async (pair: TunnelPair) => ({
        certificate: await pair.authority.issue(CLIENT_ID, { usages: ['server'] }),
      }),
    ],
    [
      'with an expired certificate',
      'WEFT1201',
      async (pair: TunnelPair) => ({ certificate: await pair.authority.issue(CLIENT_ID, { ttlMs: -1_000 }) }),
    ],
    [
      'of another trust domain',
      'WEFT1202',
      async (pair: TunnelPair) => ({
        certificate: await pair.authority.issue('spiffe://other.domain/ns/a/sa/b'),
      }),
    ],
    [
      'without a name',
      'WEFT1202',
      async (pair: TunnelPair) => ({ certificate: await pair.authority.issueWithNames(CLIENT_ID, []) }),
    ],
    [
      'with two names, the first of which would do',
      'WEFT1202',
      async (pair: TunnelPair) => ({
        certificate: await pair.authority.issueWithNames(CLIENT_ID, [CLIENT_ID, SERVER_ID]),
      }),
    ],
    [
      'with TLS 1.2',
      'WEFT1201',
      async (pair: TunnelPair) => ({
        certificate: pair.clientCertificate,
        options: { maxVersion: 'TLSv1.2' as const },
      }),
    ],
    [
      'with ChaCha20 only',
      'WEFT1201',
      async (pair: TunnelPair) => ({
        certificate: pair.clientCertificate,
        options: { ciphers: 'TLS_CHACHA20_POLY1305_SHA256' },
      }),
    ],
    [
      'with http/1.1 only',
      'WEFT1201',
      async (pair: TunnelPair) => ({
        certificate: pair.clientCertificate,
        options: { ALPNProtocols: ['http/1.1'] },
      }),
    ],
    [
      'without ALPN',
      'WEFT1201',
      async (pair: TunnelPair) => ({ certificate: pair.clientCertificate, options: { ALPNProtocols: [] } }),
    ],
  ] as const)('refuses a client %s: %s', async (_name, code, make) => {
    const pair = await pairOf(echo);
    const { certificate, options } = (await make(pair)) as {
      certificate?: WorkloadCertificate;
      options?: ConnectionOptions;
    };
    await tlsClient(pair, certificate, options);
    expect(codes(pair)).toEqual([code]);
    expect(pair.server.sessions.size).toBe(0);
  });

  it('counts garbage instead of TLS, and a connection that just closes', async () => {
    const pair = await pairOf(echo);
    const garbage = await dialTcp(pair.port);
    garbage.on('error', () => undefined);
    garbage.end('GET / HTTP/1.1\r\n\r\n');
    garbage.resume();
    // Not by `once` of node:events, which fails on the reset that may come first.
    await new Promise((resolve) => {
      garbage.once('close', resolve);
    });
    expect(codes(pair)).toEqual(['WEFT1201']);
  });

  it('lets no session resume', async () => {
    const pair = await pairOf(echo);
    let session: Buffer | undefined;
    const first = connect({
      port: pair.port,
      host: '127.0.0.1',
      ca: pair.authority.rootsPem,
      key: pair.clientCertificate.keyPem,
      cert: pair.clientCertificate.chainPem,
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    first.on('error', () => undefined);
    first.on('session', (ticket) => {
      session = ticket;
    });
    await once(first, 'data');
    first.destroy();
    const second = await tlsClient(pair, pair.clientCertificate, session === undefined ? {} : { session });
    expect(second.isSessionReused()).toBe(false);
    second.destroy();
  });

  it('presents the certificate of the moment to each connection', async () => {
    const rotated: WorkloadCertificate[] = [];
    const pair = await pairOf(echo, {
      server: { certificateFor: () => Promise.resolve(rotated[0] ?? pair.serverCertificate) },
    });
    const serial = async (): Promise<string> => {
      const socket = await tlsClient(pair, pair.clientCertificate);
      const certificate = socket.getPeerX509Certificate();
      socket.destroy();
      return certificate?.serialNumber ?? '';
    };
    const before = await serial();
    const next = await pair.authority.issue(SERVER_ID);
    rotated.push(next);
    expect(await serial()).toBe(next.leaf.serialNumber);
    expect(before).toBe(pair.serverCertificate.leaf.serialNumber);
  });

  it('refuses whom verifyPeer refuses', async () => {
    const pair = await pairOf(echo, { server: { verifyPeer: () => new WeftError('WEFT1202', 'revoked') } });
    await tlsClient(pair, pair.clientCertificate);
    expect(codes(pair)).toEqual(['WEFT1202']);
  });

  it('gives up on a silent connection', async () => {
    const pair = await pairOf(echo, { server: { limits: { handshakeTimeoutMs: 50 } } });
    const silent = await dialTcp(pair.port);
    silent.on('error', () => undefined);
    silent.resume();
    await once(silent, 'end');
    expect(codes(pair)).toEqual(['WEFT1201']);
    silent.destroy();
  });

  it('gives up the oldest handshakes when there are too many, so that others come through', async () => {
    const pair = await pairOf(echo, { server: { limits: { maxHandshakes: 2 } } });
    const silent: Socket[] = [];
    const ends: Promise<unknown>[] = [];
    for (let i = 0; i < 3; i++) {
      const socket = await dialTcp(pair.port);
      socket.on('error', () => undefined);
      socket.resume();
      ends.push(once(socket, 'end'));
      silent.push(socket);
    }
    await ends[0];
    expect(codes(pair)).toEqual(['WEFT1201']);
    await pair.pool.connect(pair.request());
    await ends[1];
    expect(codes(pair)).toEqual(['WEFT1201', 'WEFT1201']);
    for (const socket of silent) socket.destroy();
  });

  it('closes connections above its limit', async () => {
    const pair = await pairOf(echo, { server: { limits: { maxConnections: 1 } } });
    await pair.pool.connect(pair.request());
    const second = await dialTcp(pair.port);
    second.on('error', () => undefined);
    second.resume();
    await once(second, 'end');
    expect(codes(pair)).toEqual(['WEFT1208']);
    second.destroy();
  });

  it('answers a GET of nghttp with 400', async () => {
    const pair = await pairOf(echo);
    const folder = await mkdtemp(join(tmpdir(), 'weft-hbone-'));
    try {
      await writeFile(join(folder, 'key.pem'), pair.clientCertificate.keyPem);
      await writeFile(join(folder, 'cert.pem'), pair.clientCertificate.chainPem);
      const url = `https://127.0.0.1:${pair.port}/`;
      const run = promisify(execFile)('nghttp', [
        '-nvy',
        `--cert=${folder}/cert.pem`,
        `--key=${folder}/key.pem`,
        url,
      ]);
      const { stdout } = await run;
      expect(stdout).toContain(':status: 400');
      expect(stdout).not.toContain('[ERROR]');
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe('the client', () => {
  const fails = async (pair: TunnelPair, acceptable: readonly string[]): Promise<unknown> =>
    pair.pool.connect(pair.request({ acceptable })).then(
      () => 'connected',
      (error: unknown) => (WeftError.is(error) ? error.code : error),
    );

  it('takes a server that has one of the identities', async () => {
    const pair = await pairOf(echo);
    expect(await fails(pair, ['spiffe://cluster.local/ns/x/sa/y', SERVER_ID])).toBe('connected');
  });

  it.each([
    ['none of them', ['spiffe://cluster.local/ns/x/sa/y']],
    ['no list', []],
  ])('refuses a server with %s: WEFT1203', async (_name, acceptable) => {
    const pair = await pairOf(echo);
    expect(await fails(pair, acceptable)).toBe('WEFT1203');
  });

  it.each([
    ['without a name', []],
    ['with two names, one of them acceptable', [SERVER_ID, 'spiffe://cluster.local/ns/x/sa/y']],
  ])('refuses a server %s: WEFT1203', async (_name, names) => {
    const pair = await pairOf(echo, {
      server: { certificateFor: () => pair.authority.issueWithNames(SERVER_ID, names) },
    });
    expect(await fails(pair, [SERVER_ID])).toBe('WEFT1203');
  });

  it('refuses a server of another authority, and one with a client-only certificate', async () => {
    const foreign = await (await TestAuthority.create()).issue(SERVER_ID);
    const first = await pairOf(echo, { server: { certificateFor: () => Promise.resolve(foreign) } });
    expect(await fails(first, [SERVER_ID])).toBe('WEFT1201');
    const second = await pairOf(echo, {
      server: { certificateFor: () => second.authority.issue(SERVER_ID, { usages: ['client'] }) },
    });
    expect(await fails(second, [SERVER_ID])).toBe('WEFT1201');
  });
});

describe('URI names', () => {
  it.each([
    ['URI:spiffe://a/ns/b/sa/c', ['spiffe://a/ns/b/sa/c']],
    ['DNS:x, URI:spiffe://a/ns/b/sa/c, URI:u', ['spiffe://a/ns/b/sa/c', 'u']],
    ['DNS:"x, URI:spiffe://a/ns/b/sa/c"', []],
    [undefined, []],
  ])('of %s are %j', (subjectAltName, names) => {
    expect(uriNames({ subjectAltName })).toEqual(names);
  });
});
