import { describe, expect, it } from '@jest/globals';
import { parseBootstrap } from '@weft/proxy';
import { bootstrap } from './bootstrap.ts';
import { parseCommandLine } from './command-line.ts';
import { loadConfig } from './config.ts';
import { xdsNode } from './node.ts';

const args = [
  ...['proxy', 'waypoint', '--domain', 'shop.svc.cluster.local', '--serviceCluster', 'waypoint.shop'],
  ...['--proxyLogLevel', 'warning', '--proxyComponentLogLevel', 'misc:error'],
  ...['--log_output_level', 'default:debug'],
];
const env = {
  CA_ADDR: 'istiod.istio-system.svc:15012',
  POD_NAME: 'waypoint-1',
  POD_NAMESPACE: 'shop',
  INSTANCE_IP: '10.0.0.1',
  SERVICE_ACCOUNT: 'waypoint',
  PROXY_CONFIG: '{"discoveryAddress":"istiod-canary.istio-system.svc:15012"}',
  TRUST_DOMAIN: 'cluster.local',
  ISTIO_META_CLUSTER_ID: 'Kubernetes',
  ISTIO_META_NODE_NAME: 'node-1',
  ISTIO_METAJSON_EXTRA: '{"a":[1,true,null]}',
};

describe('the command line', () => {
  it('is what the deployment of a waypoint says', () => {
    expect(parseCommandLine(args)).toEqual({
      domain: 'shop.svc.cluster.local',
      serviceCluster: 'waypoint.shop',
      logLevel: 'debug',
    });
  });

  it.each([
    ['another role', ['proxy', 'sidecar']],
    ['nothing', []],
    ['an unknown flag', ['proxy', 'waypoint', '--what']],
  ])('is refused for %s', (_, wrong) => {
    expect(() => parseCommandLine(wrong)).toThrow(expect.objectContaining({ code: 'WEFT2201' }));
  });
});

describe('the configuration', () => {
  const config = loadConfig(env, parseCommandLine(args));

  it('takes the identity from the pod, and the control plane from PROXY_CONFIG', () => {
    expect(config.identity).toBe('spiffe://cluster.local/ns/shop/sa/waypoint');
    expect(config.discoveryAddress).toBe('istiod-canary.istio-system.svc:15012');
    expect(config.caAddress).toBe('istiod.istio-system.svc:15012');
  });

  it('names the variable that is missing', () => {
    const { POD_NAMESPACE: _, ...without } = env;
    expect(() => loadConfig(without, parseCommandLine(args))).toThrow('POD_NAMESPACE');
  });

  it('refuses a PROXY_CONFIG that is no object', () => {
    for (const PROXY_CONFIG of ['{', '[]', '1']) {
      expect(() => loadConfig({ ...env, PROXY_CONFIG }, parseCommandLine(args))).toThrow(
        expect.objectContaining({ code: 'WEFT2202' }),
      );
    }
  });

  it('takes drains and the admin port from PROXY_CONFIG, where no variable says otherwise', () => {
    const PROXY_CONFIG = JSON.stringify({
      drainDuration: '30s',
      terminationDrainDuration: '1m30s',
      proxyAdminPort: 15_555,
      concurrency: 2,
    });
    const given = loadConfig({ ...env, PROXY_CONFIG }, parseCommandLine(args));
    expect(given).toMatchObject({
      drainDurationMs: 90_000,
      listenerDrainMs: 30_000,
      ports: { admin: 15_555 },
    });
    const variables = { TERMINATION_DRAIN_DURATION: '7s', PROXY_ADMIN_PORT: '1' };
    expect(loadConfig({ ...env, PROXY_CONFIG, ...variables }, parseCommandLine(args))).toMatchObject({
      drainDurationMs: 7_000,
      ports: { admin: 1 },
    });
    expect(config).toMatchObject({
      drainDurationMs: 20_000,
      listenerDrainMs: undefined,
      ports: { admin: 15_000 },
    });
  });

  it.each([
    ['{"drainDuration":"long"}', 'drainDuration'],
    ['{"terminationDrainDuration":5}', 'terminationDrainDuration'],
    ['{"proxyAdminPort":70000}', 'proxyAdminPort'],
  ])('refuses PROXY_CONFIG %s by name', (PROXY_CONFIG, name) => {
    expect(() => loadConfig({ ...env, PROXY_CONFIG }, parseCommandLine(args))).toThrow(name);
  });

  it('presents itself to the control plane as a waypoint', () => {
    const { id, cluster, metadata } = xdsNode(config);
    expect(id).toBe('waypoint~10.0.0.1~waypoint-1.shop~shop.svc.cluster.local');
    expect(cluster).toBe('waypoint.shop');
    expect(metadata?.fields?.['SERVICE_ACCOUNT']).toEqual({ stringValue: 'waypoint' });
    expect(metadata?.fields?.['CLUSTER_ID']).toEqual({ stringValue: 'Kubernetes' });
    expect(metadata?.fields?.['EXTRA']?.structValue?.fields?.['a']?.listValue?.values?.length).toBe(3);
  });

  it('starts the engine from a bootstrap that Envoy would read', () => {
    const { admin, dynamicResources } = parseBootstrap(bootstrap(config));
    expect(admin?.address?.socketAddress?.portValue).toBe(15000);
    expect(dynamicResources?.cdsConfig?.ads).toBeTruthy();
  });
});
