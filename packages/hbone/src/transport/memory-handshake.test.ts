import { beforeAll, describe, expect, it } from '@jest/globals';
import type { WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import { TestAuthority } from '../testing/certificates.ts';
import { CLIENT_ID, SERVER_ID } from '../testing/tunnel-pair.ts';
import { MemoryHandshake, type PairToProve } from './memory-handshake.ts';

describe('MemoryHandshake', () => {
  let client: WorkloadCertificate;
  let server: WorkloadCertificate;
  let authority: TestAuthority;
  beforeAll(async () => {
    authority = await TestAuthority.create();
    client = await authority.issue(CLIENT_ID);
    server = await authority.issue(SERVER_ID);
  });
  const prove = (o: Partial<PairToProve>, handshake = new MemoryHandshake()) => {
    const { signal } = new AbortController();
    return handshake.prove({ client, server, acceptable: [SERVER_ID], signal, ...o });
  };

  it('tells each side the verified certificate of the other', async () => {
    const proven = await prove({});
    expect(proven.clientIdentity).toBe(CLIENT_ID);
    expect(proven.client.fingerprint256).toBe(client.leaf.fingerprint256);
    expect(proven.server.fingerprint256).toBe(server.leaf.fingerprint256);
    // Not every release of node shows a server the chain of its client (nodejs/node#65579).
    expect(proven.server.issuerCertificate?.subject).toBe(server.leaf.issuer);
  });

  it.each([
    ['a server that is not among the acceptable ones', 'WEFT1203', () => ({ acceptable: [CLIENT_ID] })],
    ['a server when nobody is acceptable', 'WEFT1203', () => ({ acceptable: [] })],
    [
      'a client of another trust domain',
      'WEFT1202',
      async () => ({ client: await authority.issue('spiffe://elsewhere/ns/client/sa/client') }),
    ],
    [
      'a client of another authority',
      'WEFT1201',
      async () => ({ client: await (await TestAuthority.create()).issue(CLIENT_ID) }),
    ],
    [
      'a certificate that is not for clients',
      'WEFT1201',
      async () => ({ client: await authority.issue(CLIENT_ID, { usages: ['server'] }) }),
    ],
    [
      'a certificate that is not for servers',
      'WEFT1201',
      async () => ({ server: await authority.issue(SERVER_ID, { usages: ['client'] }) }),
    ],
    [
      'a certificate that has expired',
      'WEFT1201',
      async () => ({ server: await authority.issue(SERVER_ID, { ttlMs: -120_000 }) }),
    ],
  ] satisfies [string, string, () => Partial<PairToProve> | Promise<Partial<PairToProve>>][])(
    'refuses %s',
    async (_, code, change) => {
      await expect(prove(await change())).rejects.toMatchObject({ code });
    },
  );

  it.each(['client', 'server'] as const)('refuses a %s that is revoked', async (revoked) => {
    const identity = revoked === 'client' ? CLIENT_ID : SERVER_ID;
    const handshake = new MemoryHandshake({}, (peer) =>
      peer.subjectAltName === `URI:${identity}` ? new WeftError('WEFT1608', identity) : undefined,
    );
    await expect(prove({}, handshake)).rejects.toMatchObject({ code: 'WEFT1608' });
  });

  it('gives up when it is told to', async () => {
    const controller = new AbortController();
    const proof = prove({ signal: controller.signal });
    controller.abort(new Error('not wanted any more'));
    await expect(proof).rejects.toThrow('not wanted any more');
  });
});
