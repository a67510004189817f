import { expect, it } from '@jest/globals';
import { readConfig } from './config.ts';

it('reads the chart’s environment', () => {
  const config = readConfig(
    {
      POD_NAMESPACE: 'mesh',
      CA_TRUSTED_NODE_ACCOUNTS: 'mesh/ztunnel, kube-system/ztunnel',
      PILOT_DEBOUNCE_AFTER: '50ms',
      DEFAULT_WORKLOAD_CERT_TTL: '1h',
    },
    '1',
  );
  expect(config).toMatchObject({
    namespace: 'mesh',
    clusterId: 'Kubernetes',
    trustDomain: 'cluster.local',
    debounce: { quietMs: 50, maxMs: 10_000 },
    certificates: {
      tokenAudiences: ['istio-ca'],
      trustedNodeAccounts: new Set(['mesh/ztunnel', 'kube-system/ztunnel']),
      defaultTtlMs: 3_600_000,
      maxTtlMs: 90 * 24 * 3_600_000,
    },
  });
});

it.each([
  ['CA_TRUSTED_NODE_ACCOUNTS', 'ztunnel'],
  ['PILOT_DEBOUNCE_AFTER', 'soon'],
  ['XDS_PORT', '70000'],
  ['DEFAULT_WORKLOAD_CERT_TTL', '10000h'],
  ['XDS_AUTH', 'maybe'],
])('refuses %s=%s', (name, value) => {
  expect(() => readConfig({ [name]: value }, '1')).toThrow(expect.objectContaining({ code: 'WEFT1001' }));
});
