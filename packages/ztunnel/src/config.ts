import { existsSync, readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import {
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  Path,
  Port,
  ZTUNNEL_MARK,
} from '@weft/api';
import { Environment, WeftError, type LogFormat } from '@weft/telemetry';
import { readProxyConfig, type ProxyConfig } from './proxy-config.ts';
import type { EngineName, SocketSettings, TunnelSettings } from './data/messages.ts';
import type { UnknownPolicy } from './control/policy-gate.ts';
import { proxyMode, type ProxyMode } from './proxy-mode.ts';
import { tlsSettings } from './tls-settings.ts';
import { LOOPBACK_V4, LOOPBACK_V6, parseSocketAddress, type SocketAddress } from './state/ip-address.ts';

/** Everything that the environment decides, parsed once. Variables are those of Istio's ztunnel. */
export interface Config {
  readonly mode: ProxyMode;
  /** Without it, pods have no listeners but those for DNS. */
  readonly proxyEnabled: boolean;
  readonly network: string;
  /** Empty: every workload counts as local. */
  readonly nodeName: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  readonly trustDomain: string;
  readonly instanceIp: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly serviceAccount: string;
  readonly xds: ControlPlaneConfig;
  readonly ca: ControlPlaneConfig;
  readonly secretTtlMs: number;
  /** Certificates from an authority of this process, which nobody else trusts. */
  readonly fakeCa: boolean;
  /** Decides between services of one host name that are all as near. */
  readonly preferredServiceNamespace: string | undefined;
  readonly zdsSocket: string;
  readonly drainDeadlineMs: number;
  readonly dataThreads: number;
  /** `auto`: the fast one where it works. */
  readonly engine: EngineName | 'auto';
  readonly sockets: SocketSettings;
  readonly tunnels: TunnelSettings;
  /** Whether bytes between two pods of this node may stay in the process. */
  readonly sameNodeRelay: boolean;
  /** Where each pod's DNS proxy listens; none if DNS isn't captured. */
  readonly dnsAddresses: readonly SocketAddress[];
  /** SOCKS on 15080 of each pod's loopback. */
  readonly socks5: boolean;
  /** Whether workloads and services are asked for as they are needed, instead of all at the start. */
  readonly xdsOnDemand: boolean;
  /** What is known without a control plane, or besides it. */
  readonly localState: { readonly source: string; readonly text: string } | undefined;
  readonly localhostAppTunnel: boolean;
  readonly responseBaggage: boolean;
  readonly policyInfoLogging: boolean;
  readonly unknownPolicy: UnknownPolicy;
  /** Certificate revocation lists; undefined if none are asked for. */
  readonly crlPath: string | undefined;
  readonly logFormat: LogFormat;
  /** RUST_LOG's syntax: `info,access=debug`. */
  readonly logFilter: string;
  readonly nodeMetadata: ReadonlyMap<string, unknown>;
  readonly istioVersion: string;
  readonly ports: { readonly admin: number; readonly stats: number; readonly readiness: number };
}

export interface ControlPlaneConfig {
  /** `https://host:port`; undefined if disabled. */
  readonly address: string | undefined;
  readonly root: RootSource;
  readonly alternativeHostname: string | undefined;
  readonly headers: ReadonlyMap<string, string>;
  /** Read again for each use. */
  readonly token: TokenSource;
}

export type RootSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'inline'; readonly pem: string }
  | { readonly kind: 'system' };

export type TokenSource =
  | { readonly kind: 'file'; readonly path: string }
  | { readonly kind: 'literal'; readonly token: string }
  | { readonly kind: 'none' };

/** @throws WEFT1001 naming the variable that can't be parsed */
export function loadConfig(variables: Readonly<Record<string, string | undefined>>): Config {
  const env = new Environment(variables);
  const proxyConfig = readProxyConfig(env);
  const token = tokenSource(env);
  const metadata = nodeMetadata(env, proxyConfig);
  const mode = proxyMode(env);
  const istioVersion = metadata.get('ISTIO_VERSION');
  const mark = env.integer('PACKET_MARK', mode.kind === 'shared' ? ZTUNNEL_MARK : 0, {
    min: 0,
    max: 0xffff_ffff,
  });
  return {
    mode,
    proxyEnabled: env.boolean('ENABLE_PROXY', true),
    network: env.string('NETWORK', ''),
    nodeName: env.string('NODE_NAME', ''),
    clusterId: env.optional('CLUSTER_ID') ?? env.string('ISTIO_META_CLUSTER_ID', DEFAULT_CLUSTER_ID),
    clusterDomain: env.string('CLUSTER_DOMAIN', DEFAULT_CLUSTER_DOMAIN),
    trustDomain: env.string('TRUST_DOMAIN', DEFAULT_TRUST_DOMAIN),
    instanceIp: env.string('INSTANCE_IP', '1.1.1.1'),
    podName: env.string('POD_NAME', ''),
    podNamespace: env.string('POD_NAMESPACE', ''),
    serviceAccount: env.string('SERVICE_ACCOUNT', ''),
    xds: controlPlane(env, 'XDS', token, proxyConfig),
    ca: controlPlane(env, 'CA', token, proxyConfig),
    secretTtlMs: env.durationMs('SECRET_TTL', 24 * 3_600_000),
    fakeCa: env.boolean('FAKE_CA', false),
    preferredServiceNamespace: env.optional('PREFERED_SERVICE_NAMESPACE') || undefined,
    zdsSocket: env.string('INPOD_UDS', Path.zdsSocket),
    drainDeadlineMs: drainDeadlineMs(env),
    dataThreads: dataThreads(env, availableParallelism(), proxyConfig),
    engine: engine(env),
    sockets: socketSettings(env, mark),
    tunnels: {
      streamWindowBytes: env.integer('HTTP2_STREAM_WINDOW_SIZE', 4_194_304, {
        min: 65_535,
        max: 2 ** 31 - 1,
      }),
      connectionWindowBytes: env.integer('HTTP2_CONNECTION_WINDOW_SIZE', 16_777_216, {
        min: 65_535,
        max: 2 ** 31 - 1,
      }),
      maxFrameBytes: env.integer('HTTP2_FRAME_SIZE', 1_048_576, { min: 16_384, max: 2 ** 24 - 1 }),
      maxStreamsPerConnection: env.integer('POOL_MAX_STREAMS_PER_CONNECTION', 100, { min: 1, max: 65_535 }),
      unusedReleaseMs: timerMs(env, 'POOL_UNUSED_RELEASE_TIMEOUT', 300_000),
      tls: tlsSettings(env),
    },
    sameNodeRelay: env.boolean('SAME_NODE_RELAY', true),
    dnsAddresses: dnsAddresses(metadata),
    socks5: env.boolean('UNSTABLE_ENABLE_SOCKS5', false),
    xdsOnDemand: xdsOnDemand(env, metadata),
    localState: localState(env),
    localhostAppTunnel: env.boolean('LOCALHOST_APP_TUNNEL', true),
    responseBaggage: env.boolean('ENABLE_RESPONSE_BAGGAGE', true),
    crlPath: env.optional('CRL_PATH') || undefined,
    policyInfoLogging: env.optional('AUTHZ_POLICY_INFO_LOGGING') === 'true',
    unknownPolicy: unknownPolicy(env),
    logFormat: env.optional('LOG_FORMAT') === 'json' ? 'json' : 'plain',
    logFilter: env.string('RUST_LOG', 'info'),
    nodeMetadata: metadata,
    istioVersion: typeof istioVersion === 'string' ? istioVersion : 'unknown',
    ports: {
      admin: proxyConfig.proxyAdminPort ?? Port.ztunnelAdmin,
      stats: proxyConfig.statsPort ?? Port.stats,
      readiness: Port.readiness,
    },
  };
}

function controlPlane(
  env: Environment,
  prefix: 'XDS' | 'CA',
  token: TokenSource,
  { discoveryAddress }: ProxyConfig,
): ControlPlaneConfig {
  const fallback =
    env.optional('KUBERNETES_SERVICE_HOST') === undefined
      ? `https://localhost:${Port.xds}`
      : `https://istiod.istio-system.svc:${Port.xds}`;
  const address = env.string(`${prefix}_ADDRESS`, discoveryAddress ?? fallback);
  const headers = new Map<string, string>();
  for (const [name, value] of env.withPrefix(`${prefix}_HEADER_`)) headers.set(name.toLowerCase(), value);
  return {
    address: address === '' ? undefined : /^https?:\/\//.test(address) ? address : `https://${address}`,
    root: rootSource(env.string(`${prefix}_ROOT_CA`, `.${Path.rootCert}`)),
    alternativeHostname: env.optional(`ALT_${prefix}_HOSTNAME`),
    headers,
    token,
  };
}

function rootSource(value: string): RootSource {
  if (value === 'SYSTEM') return { kind: 'system' };
  return value.includes('-----BEGIN') ? { kind: 'inline', pem: value } : { kind: 'file', path: value };
}

function tokenSource(env: Environment): TokenSource {
  const value = env.optional('AUTH_TOKEN');
  if (value === undefined) {
    const path = `.${Path.token}`;
    return existsSync(path) ? { kind: 'file', path } : { kind: 'none' };
  }
  if (value === '') return { kind: 'none' };
  return existsSync(value) ? { kind: 'file', path: value } : { kind: 'literal', token: value };
}

export function readRoots(source: RootSource): string | undefined {
  if (source.kind === 'system') return undefined;
  return source.kind === 'inline' ? source.pem : readFileSync(source.path, 'utf8');
}

export function readToken(source: TokenSource): string | undefined {
  if (source.kind === 'none') return undefined;
  return source.kind === 'literal' ? source.token : readFileSync(source.path, 'utf8');
}

function socketSettings(env: Environment, mark: number): SocketSettings {
  const origSrc = env.optional('ENABLE_ORIG_SRC') ?? '';
  const keepAlive = {
    idleMs: env.durationMs('KEEPALIVE_TIME', 180_000),
    intervalMs: env.durationMs('KEEPALIVE_INTERVAL', 180_000),
    probes: env.integer('KEEPALIVE_RETRIES', 9, { min: 1, max: 127 }),
  };
  return {
    mark: mark === 0 ? undefined : mark,
    reusePort: env.boolean('INPOD_PORT_REUSE', true),
    transparent: origSrc === '' ? 'best-effort' : env.boolean('ENABLE_ORIG_SRC', true) ? 'required' : 'never',
    ipv6: env.boolean('IPV6_ENABLED', true),
    keepAlive: env.boolean('KEEPALIVE_ENABLED', true) ? keepAlive : undefined,
    userTimeoutMs: env.boolean('USER_TIMEOUT_ENABLED', false)
      ? keepAlive.idleMs + keepAlive.probes * keepAlive.intervalMs
      : undefined,
  };
}

function drainDeadlineMs(env: Environment): number {
  // Six seconds of grace, less one, are the default of five.
  const graceSeconds = env.integer('TERMINATION_GRACE_PERIOD_SECONDS', 6, { min: 0 });
  const seconds = graceSeconds > 10 ? graceSeconds - 5 : Math.max(1, graceSeconds - 1);
  return timerMs(env, 'CONNECTION_TERMINATION_DEADLINE', seconds * 1000);
}

// setTimeout fires at once for anything beyond 2^31-1.
const MAX_TIMER_MS = 2 ** 31 - 1;

function timerMs(env: Environment, name: string, fallbackMs: number): number {
  return Math.min(env.durationMs(name, fallbackMs), MAX_TIMER_MS);
}

function engine(env: Environment): EngineName | 'auto' {
  const value = env.optional('ZTUNNEL_ENGINE') || 'auto';
  if (value === 'auto' || value === 'fast' || value === 'portable') return value;
  throw new WeftError('WEFT1001', `ZTUNNEL_ENGINE=${value}: expected auto, fast or portable`);
}

function unknownPolicy(env: Environment): UnknownPolicy {
  const value = env.optional('ZTUNNEL_UNKNOWN_POLICY') || 'deny';
  if (value === 'deny' || value === 'ignore') return value;
  throw new WeftError('WEFT1001', `ZTUNNEL_UNKNOWN_POLICY=${value}: expected deny or ignore`);
}

/** ZTUNNEL_WORKER_THREADS: a number, a share of the cores, or 0 for all of them. */
function dataThreads(env: Environment, cores: number, { concurrency }: ProxyConfig): number {
  const value = env.optional('ZTUNNEL_WORKER_THREADS') ?? '';
  const share = /^(\d{1,3})%$/.exec(value)?.[1];
  if (share !== undefined) return Math.max(1, Math.ceil((cores * Number(share)) / 100));
  if (value !== '') return env.integer('ZTUNNEL_WORKER_THREADS', 0, { min: 0, max: 1024 }) || cores;
  if (concurrency !== undefined) return concurrency || cores;
  const limit = cpuQuantity(env, 'ZTUNNEL_CPU_LIMIT') ?? cpuQuantity(env, 'ZTUNNEL_RESOURCE_CPU_LIMIT');
  const request = cpuQuantity(env, 'ZTUNNEL_RESOURCE_CPU_REQUEST') ?? 0;
  if (limit !== undefined) return Math.max(1, limit, request);
  return Math.max(Math.ceil(cores / 4), request, 2);
}

/** `2`, `1.5` or `500m`, rounded up to whole cores. */
function cpuQuantity(env: Environment, name: string): number | undefined {
  const value = env.optional(name) ?? '';
  if (value === '') return undefined;
  const match = /^(\d+(?:\.\d+)?)(m?)$/.exec(value);
  if (match === null)
    throw new WeftError('WEFT1001', `${name}=${value}: expected a CPU quantity such as 2 or 500m`);
  return Math.ceil(Number(match[1]) / (match[2] === 'm' ? 1000 : 1));
}

/** The DNS proxy has to know every name there is, so it can't be had together with this. */
function xdsOnDemand(env: Environment, metadata: ReadonlyMap<string, unknown>): boolean {
  const isOnDemand = env.boolean('XDS_ON_DEMAND', false);
  if (isOnDemand && dnsAddresses(metadata).length > 0)
    throw new WeftError('WEFT1001', 'XDS_ON_DEMAND=true needs ISTIO_META_DNS_CAPTURE=false');
  return isOnDemand;
}

/** LOCAL_XDS_PATH or LOCAL_XDS. */
function localState(env: Environment): Config['localState'] {
  const path = env.string('LOCAL_XDS_PATH', '');
  const inline = env.string('LOCAL_XDS', '');
  if (path !== '' && inline !== '')
    throw new WeftError('WEFT1001', 'LOCAL_XDS_PATH and LOCAL_XDS are both set');
  if (inline !== '') return { source: 'LOCAL_XDS', text: inline };
  if (path === '') return undefined;
  try {
    return { source: path, text: readFileSync(path, 'utf8') };
  } catch (error) {
    throw new WeftError('WEFT1001', `LOCAL_XDS_PATH=${path} cannot be read`, { cause: error });
  }
}

/** DNS_CAPTURE and DNS_PROXY_ADDR of the node's metadata. */
function dnsAddresses(metadata: ReadonlyMap<string, unknown>): readonly SocketAddress[] {
  if ((metadata.get('DNS_CAPTURE') ?? 'true') !== 'true') return [];
  const text = metadata.get('DNS_PROXY_ADDR') ?? `localhost:${Port.dns}`;
  const invalid = new WeftError('WEFT1001', `DNS_PROXY_ADDR=${JSON.stringify(text)}: expected address:port`);
  if (typeof text !== 'string') throw invalid;
  const local = /^localhost:(\d{1,5})$/.exec(text)?.[1];
  const port = Number(local);
  if (local !== undefined && port > 0 && port <= 65_535)
    return [
      { ip: LOOPBACK_V4, port },
      { ip: LOOPBACK_V6, port },
    ];
  const address = parseSocketAddress(text);
  if (address === undefined) throw invalid;
  return [address];
}

function nodeMetadata(env: Environment, { proxyMetadata }: ProxyConfig): ReadonlyMap<string, unknown> {
  const metadata = new Map<string, unknown>([
    ...Object.entries(proxyMetadata),
    ...env.withPrefix('ISTIO_META_'),
  ]);
  for (const [name, text] of env.withPrefix('ISTIO_METAJSON_')) {
    try {
      metadata.set(name, JSON.parse(text));
    } catch (error) {
      throw new WeftError('WEFT1001', `ISTIO_METAJSON_${name} is not JSON`, { cause: error });
    }
  }
  return metadata;
}
