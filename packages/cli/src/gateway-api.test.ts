import { describe, expect, it } from '@jest/globals';
import { describeGatewayApi, gatewayApi } from './gateway-api.ts';

const release = { name: 'weft', namespace: 'istio-system' };
const definition = (plural: string, owner?: string) => ({
  metadata: {
    name: `${plural}.gateway.networking.k8s.io`,
    annotations:
      owner === undefined
        ? {}
        : { 'meta.helm.sh/release-name': owner, 'meta.helm.sh/release-namespace': 'istio-system' },
  },
});
const all = (owner?: string) =>
  ['gatewayclasses', 'gateways', 'grpcroutes', 'httproutes'].map((plural) => definition(plural, owner));

describe('the Gateway API of a cluster', () => {
  it.each([
    ['is missing', [], 'missing'],
    ['is missing in part', all().slice(1), 'missing'],
    ['is that of an earlier installation', all('weft'), 'ours'],
    ["is somebody else's", all(), 'theirs'],
    ["is another release's", all('other'), 'theirs'],
  ])('%s', (_case, definitions, kind) => {
    expect(gatewayApi(definitions, release).kind).toBe(kind);
  });

  it('is spoken of where it is missing, by name', () => {
    expect(describeGatewayApi(gatewayApi(all().slice(1), release))).toContain(
      'lacks gatewayclasses.gateway.networking.k8s.io, which waypoints need',
    );
    expect(describeGatewayApi({ kind: 'theirs' })).toBeUndefined();
  });
});
