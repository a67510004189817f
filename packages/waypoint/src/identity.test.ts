import { describe, expect, it } from '@jest/globals';
import type { Secret } from '@weft/proxy';
import type { CaClient } from '@weft/spiffe';
import { silentLogger } from '@weft/telemetry';
import { loadConfig } from './config.ts';
import { IdentityServer } from './identity.ts';

const config = loadConfig(
  { POD_NAME: 'w', POD_NAMESPACE: 'shop', INSTANCE_IP: '10.0.0.1', SERVICE_ACCOUNT: 'waypoint' },
  { domain: undefined, serviceCluster: undefined, logLevel: undefined },
);

describe('IdentityServer', () => {
  it('has no secret before the certificate has come, then both, to those that waited', async () => {
    let answer = (): void => undefined;
    const client: CaClient = {
      fetchCertificate: (identity) =>
        new Promise((resolve) => {
          answer = () =>
            resolve({
              identity,
              keyPem: 'KEY',
              chainPem: 'CHAIN',
              rootsPem: 'ROOTS',
              notBefore: new Date(),
              notAfter: new Date(Date.now() + 3_600_000),
              leaf: undefined as never, // not read here
            });
        }),
    };
    let first = 0;
    const server = new IdentityServer({ config, logger: silentLogger, onFirst: () => first++, client });
    const seen: string[] = [];
    const watch = (name: string): (() => void) =>
      server.watch(name, (secret: Secret) => seen.push(`${name} ${secret.kind}`));
    watch('default');
    server.start();
    await Promise.resolve();
    expect(seen).toEqual([]);
    answer();
    await new Promise(setImmediate);
    expect(first).toBe(1);
    expect(seen).toEqual(['default certificate']);
    watch('ROOTCA');
    watch('unknown');
    expect(seen.length).toBe(1);
    await Promise.resolve();
    expect(seen).toEqual(['default certificate', 'ROOTCA validation']);
    server.close();
  });
});
