import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

/** A pod on each of two nodes; the nodes' revocation lists and the certificate authority change. */
skipIf(Sandbox.unavailable, describe)('identities between ztunnels', () => {
  let sandbox: Sandbox;
  beforeAll(async () => {
    sandbox = Sandbox.start(new URL('./testing/identity.scenario.js', import.meta.url));
    await sandbox.call('start');
  }, 60_000);
  afterAll(async () => {
    await sandbox.call('stop');
    await sandbox.stop();
  });
  const revoked = {
    open: 'ECONNRESET',
    fresh: 'ECONNRESET',
    logged: 'error',
    countedByCut: 1,
    counted: true,
    afterwards: 'server sees 10.0.1.1',
  };

  it('cuts and refuses a client whose certificate is revoked', async () => {
    expect(await sandbox.call('revoke', 'node-2', 'client')).toEqual(revoked);
  }, 40_000);

  it('cuts and refuses a server whose certificate is revoked', async () => {
    expect(await sandbox.call('revoke', 'node-1', 'server')).toEqual(revoked);
  }, 40_000);

  it('cuts and refuses clients of an intermediate that is revoked', async () => {
    expect(await sandbox.call('revokeIntermediate')).toEqual(revoked);
  }, 40_000);

  it('changes its root certificates without one failed connection', async () => {
    expect(await sandbox.call('rotateRoots')).toEqual({ failed: [], issuedBy: 'next root' });
  }, 40_000);
});
