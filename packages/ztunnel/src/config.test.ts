import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { Environment } from '@weft/telemetry';
import { loadConfig, readRoots, readToken } from './config.ts';
import { readProxyConfig } from './proxy-config.ts';
import { formatSocketAddress } from './state/ip-address.ts';

describe('configuration', () => {
  it('has the defaults of the reference', () => {
    expect(loadConfig({})).toMatchObject({
      network: '',
      clusterId: 'Kubernetes',
      xds: {
        address: 'https://localhost:15012',
        root: { kind: 'file', path: './var/run/secrets/istio/root-cert.pem' },
      },
      secretTtlMs: 86_400_000,
      zdsSocket: '/var/run/ztunnel/ztunnel.sock',
      drainDeadlineMs: 5_000,
      sockets: {
        mark: 1337,
        reusePort: true,
        transparent: 'best-effort',
        ipv6: true,
        userTimeoutMs: undefined,
      },
      tunnels: { streamWindowBytes: 4_194_304, maxStreamsPerConnection: 100, unusedReleaseMs: 300_000 },
      responseBaggage: true,
      logFormat: 'plain',
      ports: { admin: 15_000, stats: 15_020, readiness: 15_021 },
    });
  });

  it.each([
    [{}, 5_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '30' }, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '10' }, 9_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '1' }, 1_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '0' }, 1_000],
    [{ CONNECTION_TERMINATION_DEADLINE: '10000h' }, 2 ** 31 - 1],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '1m' }, 60_000],
  ])('drains, by %j, for %p ms', (env, expected) => {
    expect(loadConfig(env).drainDeadlineMs).toBe(expected);
  });

  it.each([
    [{ ZTUNNEL_WORKER_THREADS: '3' }, 3],
    [{ ZTUNNEL_CPU_LIMIT: '1500m' }, 2],
    [{ ZTUNNEL_CPU_LIMIT: '1', ZTUNNEL_RESOURCE_CPU_REQUEST: '4' }, 4],
  ])('runs, by %j, %p data threads', (env, expected) => {
    expect(loadConfig(env).dataThreads).toBe(expected);
  });

  it.each([
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'https://istiod.istio-system.svc:15012'],
    [{ XDS_ADDRESS: 'cp:15012' }, 'https://cp:15012'],
    [{ XDS_ADDRESS: 'http://cp:15010' }, 'http://cp:15010'],
    [{ XDS_ADDRESS: '' }, undefined],
  ])('finds, by %j, the control plane at %s', (env, expected) => {
    expect(loadConfig(env).xds.address).toBe(expected);
  });

  it.each([
    [{ ENABLE_ORIG_SRC: 'true' }, 'required'],
    [{ ENABLE_ORIG_SRC: 'false' }, 'never'],
  ])('takes %j for transparency %s', (env, expected) => {
    expect(loadConfig(env).sockets.transparent).toBe(expected);
  });

  it.each([
    { IPV6_ENABLED: 'yes' },
    { SECRET_TTL: 'long' },
    { HTTP2_FRAME_SIZE: '1' },
    { ISTIO_METAJSON_X: '{' },
    { ZTUNNEL_CPU_LIMIT: 'all' },
    { PROXY_MODE: 'dedicated' },
    { XDS_ON_DEMAND: 'true' },
    { LOCAL_XDS: 'workloads: []', LOCAL_XDS_PATH: '/dev/null' },
    { LOCAL_XDS_PATH: '/nowhere' },
    { ISTIO_META_DNS_PROXY_ADDR: 'nonsense' },
    { ISTIO_METAJSON_DNS_PROXY_ADDR: '{}' },
  ])('refuses %j', (env) => {
    expect(() => loadConfig(env)).toThrow(expect.objectContaining({ code: 'WEFT1001' }));
  });

  it.each<[Readonly<Record<string, string>>, string[]]>([
    [{}, ['127.0.0.1:15053', '[::1]:15053']],
    [{ ISTIO_META_DNS_CAPTURE: 'false' }, []],
    [{ ISTIO_META_DNS_CAPTURE: 'yes' }, []],
    [{ ISTIO_META_DNS_PROXY_ADDR: 'localhost:5353' }, ['127.0.0.1:5353', '[::1]:5353']],
    [{ ISTIO_META_DNS_PROXY_ADDR: '127.0.0.1:53' }, ['127.0.0.1:53']],
  ])('serves DNS, with %j, at %j', (env, expected) => {
    expect(loadConfig(env).dnsAddresses.map(formatSocketAddress)).toEqual(expected);
  });

  it('works on demand where there is no DNS proxy', () => {
    expect(loadConfig({ XDS_ON_DEMAND: 'true', ISTIO_META_DNS_CAPTURE: 'false' }).xdsOnDemand).toBe(true);
  });

  it('sends metadata and headers that the environment names', () => {
    const config = loadConfig({ ISTIO_META_A: 'x', ISTIO_METAJSON_B: '{"c":[1]}', XDS_HEADER_Tenant: 't' });
    expect([...config.nodeMetadata]).toEqual([
      ['A', 'x'],
      ['B', { c: [1] }],
    ]);
    expect([...config.xds.headers]).toEqual([['tenant', 't']]);
  });

  it('reads the token anew from its file, or takes it literally', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-token-'));
    try {
      const path = join(folder, 'token');
      writeFileSync(path, 'one');
      const { token } = loadConfig({ AUTH_TOKEN: path }).xds;
      writeFileSync(path, 'two');
      expect(readToken(token)).toBe('two');
      expect(readToken(loadConfig({ AUTH_TOKEN: 'literal' }).ca.token)).toBe('literal');
      expect(readToken(loadConfig({ AUTH_TOKEN: '' }).ca.token)).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('each variable', () => {
  it.each<[Readonly<Record<string, string>>, object]>([
    [{}, { proxyEnabled: true }],
    [{ ENABLE_PROXY: 'false' }, { proxyEnabled: false }],
    [{ NETWORK: 'n' }, { network: 'n' }],
    [{ NODE_NAME: 'n' }, { nodeName: 'n' }],
    [{ CLUSTER_ID: 'c', ISTIO_META_CLUSTER_ID: 'd' }, { clusterId: 'c' }],
    [{ ISTIO_META_CLUSTER_ID: 'd' }, { clusterId: 'd' }],
    [{ CLUSTER_DOMAIN: 'd' }, { clusterDomain: 'd' }],
    [{ TRUST_DOMAIN: 'd' }, { trustDomain: 'd' }],
    [
      { INSTANCE_IP: '10.0.0.1', POD_NAME: 'p', POD_NAMESPACE: 'n', SERVICE_ACCOUNT: 's' },
      { instanceIp: '10.0.0.1', podName: 'p', podNamespace: 'n', serviceAccount: 's' },
    ],
    [
      { CA_ADDRESS: 'ca:1' },
      { ca: { address: 'https://ca:1' }, xds: { address: 'https://localhost:15012' } },
    ],
    [{ XDS_ROOT_CA: 'SYSTEM' }, { xds: { root: { kind: 'system' } } }],
    [{ CA_ROOT_CA: '/r' }, { ca: { root: { kind: 'file', path: '/r' } } }],
    [
      { ALT_XDS_HOSTNAME: 'x', ALT_CA_HOSTNAME: 'c' },
      { xds: { alternativeHostname: 'x' }, ca: { alternativeHostname: 'c' } },
    ],
    [{ CA_HEADER_Tenant: 't' }, { ca: { headers: new Map([['tenant', 't']]) } }],
    [{ SECRET_TTL: '1h' }, { secretTtlMs: 3_600_000 }],
    [{ FAKE_CA: 'true' }, { fakeCa: true }],
    [{ CRL_PATH: '/crl' }, { crlPath: '/crl' }],
    [{ CRL_PATH: '' }, { crlPath: undefined }],
    [{ INPOD_UDS: '/z' }, { zdsSocket: '/z' }],
    [{ INPOD_PORT_REUSE: 'false' }, { sockets: { reusePort: false } }],
    [{ PACKET_MARK: '0' }, { sockets: { mark: undefined } }],
    [{ PACKET_MARK: '7' }, { sockets: { mark: 7 } }],
    [{ IPV6_ENABLED: 'false' }, { sockets: { ipv6: false } }],
    [{ KEEPALIVE_ENABLED: 'false' }, { sockets: { keepAlive: undefined } }],
    [
      {
        KEEPALIVE_TIME: '1s',
        KEEPALIVE_INTERVAL: '2s',
        KEEPALIVE_RETRIES: '3',
        USER_TIMEOUT_ENABLED: 'true',
      },
      { sockets: { keepAlive: { idleMs: 1_000, intervalMs: 2_000, probes: 3 }, userTimeoutMs: 7_000 } },
    ],
    [
      { HTTP2_STREAM_WINDOW_SIZE: '70000', HTTP2_CONNECTION_WINDOW_SIZE: '80000', HTTP2_FRAME_SIZE: '16384' },
      { tunnels: { streamWindowBytes: 70_000, connectionWindowBytes: 80_000, maxFrameBytes: 16_384 } },
    ],
    [{ POOL_MAX_STREAMS_PER_CONNECTION: '1' }, { tunnels: { maxStreamsPerConnection: 1 } }],
    [{ POOL_UNUSED_RELEASE_TIMEOUT: '1s' }, { tunnels: { unusedReleaseMs: 1_000 } }],
    [{ POOL_UNUSED_RELEASE_TIMEOUT: '10000h' }, { tunnels: { unusedReleaseMs: 2 ** 31 - 1 } }],
    [{ LOCALHOST_APP_TUNNEL: 'false' }, { localhostAppTunnel: false }],
    [{ ENABLE_RESPONSE_BAGGAGE: 'false' }, { responseBaggage: false }],
    [{ TLS12_ENABLED: 'true' }, { tunnels: { tls: { tls12: true } } }],
    [{ TLS12_ENABLED: 'yes' }, { tunnels: { tls: { tls12: false } } }],
    [{ AUTHZ_POLICY_INFO_LOGGING: 'true' }, { policyInfoLogging: true }],
    [{ AUTHZ_POLICY_INFO_LOGGING: 'yes' }, { policyInfoLogging: false }],
    [{}, { unknownPolicy: 'deny' }],
    [{ ZTUNNEL_UNKNOWN_POLICY: 'ignore' }, { unknownPolicy: 'ignore' }],
    [{ PREFERED_SERVICE_NAMESPACE: 'p' }, { preferredServiceNamespace: 'p' }],
    [{ ISTIO_META_ISTIO_VERSION: '1.32' }, { istioVersion: '1.32' }],
    [{ ZTUNNEL_WORKER_THREADS: '3', PROXY_CONFIG: 'concurrency: 5' }, { dataThreads: 3 }],
    [{ PROXY_CONFIG: 'concurrency: 5', ZTUNNEL_CPU_LIMIT: '7' }, { dataThreads: 5 }],
    [{ ZTUNNEL_RESOURCE_CPU_LIMIT: '1.5' }, { dataThreads: 2 }],
    [{ ZTUNNEL_RESOURCE_CPU_REQUEST: '9' }, { dataThreads: 9 }],
    [{ LOG_FORMAT: 'json' }, { logFormat: 'json' }],
    [{ LOG_FORMAT: 'xml' }, { logFormat: 'plain' }],
    [{ RUST_LOG: 'access=debug' }, { logFilter: 'access=debug' }],
    [
      {
        PROXY_CONFIG:
          '{ discoveryAddress: "cp:1", proxyAdminPort: 1, statsPort: 2, proxyMetadata: { A: 1 } }',
      },
      {
        xds: { address: 'https://cp:1' },
        ca: { address: 'https://cp:1' },
        ports: { admin: 1, stats: 2, readiness: 15_021 },
        nodeMetadata: new Map([['A', '1']]),
      },
    ],
    [
      {
        PROXY_CONFIG: '{ discoveryAddress: "cp:1", proxyMetadata: { ISTIO_META_A: x } }',
        XDS_ADDRESS: 'e:2',
        ISTIO_META_A: 'y',
      },
      { xds: { address: 'https://e:2' }, nodeMetadata: new Map([['A', 'y']]) },
    ],
  ])('%j has its effect', (env, expected) => {
    expect(loadConfig(env)).toMatchObject(expected);
  });

  it.each([
    { ENABLE_PROXY: 'on' },
    { FAKE_CA: 'yes' },
    { LOCALHOST_APP_TUNNEL: '1' },
    { ENABLE_RESPONSE_BAGGAGE: 'TRUE' },
    { INPOD_PORT_REUSE: 'no' },
    { KEEPALIVE_ENABLED: 'no' },
    { KEEPALIVE_TIME: '180' },
    { KEEPALIVE_INTERVAL: 'x' },
    { KEEPALIVE_RETRIES: '0' },
    { USER_TIMEOUT_ENABLED: 'no' },
    { ENABLE_ORIG_SRC: 'maybe' },
    { PACKET_MARK: '-1' },
    { HTTP2_STREAM_WINDOW_SIZE: '2147483648' },
    { HTTP2_CONNECTION_WINDOW_SIZE: '1' },
    { POOL_MAX_STREAMS_PER_CONNECTION: '0' },
    { POOL_UNUSED_RELEASE_TIMEOUT: '5' },
    { CONNECTION_TERMINATION_DEADLINE: 'soon' },
    { TERMINATION_GRACE_PERIOD_SECONDS: '1.5' },
    { ZTUNNEL_WORKER_THREADS: 'many' },
    { ZTUNNEL_RESOURCE_CPU_REQUEST: '1Gi' },
    { PROXY_CONFIG: '[]' },
    { PROXY_CONFIG: '{' },
    { PROXY_CONFIG: 'concurrency: two' },
    { PROXY_CONFIG: 'statsPort: 70000' },
    { PROXY_CONFIG: 'discoveryAddress: 1' },
    { PROXY_CONFIG: 'proxyMetadata: { A: { b: c } }' },
  ])('%j is refused by its name', (env) => {
    const [name = ''] = Object.keys(env);
    expect(() => loadConfig(env)).toThrow(
      expect.objectContaining({ code: 'WEFT1001', message: expect.stringContaining(name) }),
    );
  });

  it('listens for SOCKS when told, and sets no mark in dedicated mode unless told', () => {
    expect(loadConfig({}).socks5).toBe(false);
    expect(loadConfig({ UNSTABLE_ENABLE_SOCKS5: 'true' }).socks5).toBe(true);
    const dedicated = { PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'a/b/c' };
    expect(loadConfig(dedicated).sockets.mark).toBeUndefined();
    expect(loadConfig({ ...dedicated, PACKET_MARK: '7' }).sockets.mark).toBe(7);
  });

  it('takes defaults from the mesh file, under PROXY_CONFIG, key by key', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-mesh-config-'));
    try {
      mkdirSync(join(folder, 'config'));
      const mesh = join(folder, 'config', 'mesh');
      writeFileSync(
        mesh,
        'rootNamespace: istio-system\ndefaultConfig: { discoveryAddress: "cp:1", statsPort: 9, proxyMetadata: { A: x, B: y } }\n',
      );
      const PROXY_CONFIG = 'statsPort: 10\nproxyMetadata: { B: z }';
      expect(readProxyConfig(new Environment({ PROXY_CONFIG }), mesh)).toEqual({
        discoveryAddress: 'cp:1',
        statsPort: 10,
        proxyMetadata: { A: 'x', B: 'z' },
      });
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('reads roots from a file, inline, or leaves them to the system', () => {
    const pem = '-----BEGIN CERTIFICATE-----';
    expect(readRoots(loadConfig({ XDS_ROOT_CA: pem }).xds.root)).toBe(pem);
    expect(readRoots(loadConfig({ CA_ROOT_CA: 'SYSTEM' }).ca.root)).toBeUndefined();
  });

  it('is in the table of the documentation, and nothing else is', () => {
    const folder = new URL('../src/', import.meta.url);
    const sources = readdirSync(folder).filter((name) => /(config|settings|proxy-mode)\.ts$/.test(name));
    const source = sources.map((name) => readFileSync(new URL(name, folder), 'utf8')).join('\n');
    const read = new Set(source.match(/(?<=')[A-Z][A-Z0-9]*(_[A-Z0-9]+)+_?(?=')/g));
    const table = readFileSync(new URL('../../../docs/ztunnel-configuration.md', import.meta.url), 'utf8');
    const cells = table
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .map((line) => line.split(' | ')[0] ?? '');
    const listed = new Set(cells.join(' ').match(/[A-Z][A-Z0-9]*(_[A-Z0-9]+)+_?/g));
    // Made of two parts in the code, or keys of the metadata.
    const isMade = (name: string): boolean => /^((ALT_)?(XDS|CA)|ISTIO|DNS)_/.test(name);
    expect([...read].filter((name) => !listed.has(name) && !isMade(name))).toEqual([]);
    expect([...listed].filter((name) => !source.includes(name) && !isMade(name))).toEqual([]);
  });
});
