import { once } from 'node:events';
import { createServer, connect, type AddressInfo } from 'node:net';
import { Duplex } from 'node:stream';
import { createSecureContext, TLSSocket, connect as connectTls } from 'node:tls';
import { expect, it } from '@jest/globals';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { parseServerHello, type Handshake } from './handshake.ts';

it('tells version, cipher and group of a real ServerHello', async () => {
  const ca = await CertificateAuthority.createSelfSigned({ subject: { organizations: ['test'] } });
  const { publicKey, privateKey } = await createKeyPair();
  const { chainPem } = ca.sign({ publicKey, dnsSans: ['localhost'], ttlMs: 3_600_000 });
  const context = createSecureContext({ key: privateKeyPem(privateKey), cert: chainPem });
  const server = createServer((socket) => {
    new TLSSocket(socket, { isServer: true, secureContext: context }).on('error', () => undefined);
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // of a TCP server
  let seen: Handshake | undefined;
  const raw = connect(port, '127.0.0.1');
  // Not the socket itself, whose bytes TLS would read past its listeners.
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk, _, done) => void raw.write(chunk, done),
  });
  raw.on('data', (bytes: Buffer) => {
    seen ??= parseServerHello(bytes);
    stream.push(bytes);
  });
  const ciphers = 'TLS_AES_256_GCM_SHA384';
  const client = connectTls({ socket: stream, rejectUnauthorized: false, ciphers, ecdhCurve: 'X25519' });
  await once(client, 'secureConnect');
  client.destroy();
  raw.destroy();
  server.close();
  expect(seen).toEqual({ version: 'TLS 1.3', cipher: 'AES-256-GCM', group: 'X25519' });
});

it('takes nothing else for one, however it is cut', () => {
  expect(parseServerHello(Buffer.alloc(0))).toBeUndefined();
  expect(parseServerHello(Buffer.from('HTTP/1.1 200 OK\r\n'.repeat(9)))).toBeUndefined();
  const cut = Buffer.alloc(48);
  cut[0] = 22;
  cut[5] = 2;
  cut[43] = 255;
  expect(parseServerHello(cut)).toBeUndefined();
});
