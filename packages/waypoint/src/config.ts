import { existsSync, readFileSync } from 'node:fs';
import { DEFAULT_CLUSTER_DOMAIN, DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN, Path, Port } from '@weft/api';
import { formatSpiffeId, type SpiffeId } from '@weft/spiffe';
import { Environment, WeftError, describeError, parseDurationMs, type LogFormat } from '@weft/telemetry';
import type { CommandLine } from './command-line.ts';

/** Everything that the deployment decides, parsed once. Variables and files are those of Istio's proxy image. */
export interface Config {
  readonly identity: SpiffeId;
  readonly podName: string;
  readonly podNamespace: string;
  readonly instanceIp: string;
  readonly nodeName: string;
  readonly domain: string;
  readonly serviceCluster: string;
  readonly clusterId: string;
  readonly network: string;
  /** `host:port`. */
  readonly discoveryAddress: string;
  readonly caAddress: string;
  readonly rootCertPath: string;
  readonly tokenPath: string;
  readonly secretTtlMs: number;
  /** How long it serves on after it was asked to stop, before it asks its clients to leave. */
  readonly minimumDrainMs: number;
  /** How long clients have to leave then. */
  readonly drainDurationMs: number;
  /** How long connections have to leave a listener that was replaced, where the mesh says it. */
  readonly listenerDrainMs: number | undefined;
  /** What the control plane is told of this proxy, beside its names. */
  readonly metadata: ReadonlyMap<string, unknown>;
  readonly labels: ReadonlyMap<string, string>;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
  readonly ports: {
    readonly admin: number;
    readonly stats: number;
    readonly readiness: number;
    readonly proxyStats: number;
  };
}

const PODINFO_LABELS = '/etc/istio/pod/labels';
/**
 * As in Istio. Word that the pod is leaving takes a while to go round, and until then clients come; only afterwards does
 * it help to send them away.
 */
const MINIMUM_DRAIN_MS = 5_000;
/** With the time before, short of Kubernetes' grace period of 30 s. */
const DRAIN_DURATION_MS = 20_000;

/** @throws WEFT1001, WEFT1002, WEFT2202 naming the variable */
export function loadConfig(
  variables: Readonly<Record<string, string | undefined>>,
  commandLine: CommandLine,
): Config {
  const env = new Environment(variables);
  const podNamespace = env.required('POD_NAMESPACE');
  const serviceAccount = env.required('SERVICE_ACCOUNT');
  const proxyConfig = readProxyConfig(env.string('PROXY_CONFIG', ''));
  const discovery = text(proxyConfig['discoveryAddress']) ?? `istiod.istio-system.svc:${Port.xds}`;
  const trustDomain = env.string('TRUST_DOMAIN', DEFAULT_TRUST_DOMAIN);
  return {
    identity: formatSpiffeId({ trustDomain, namespace: podNamespace, serviceAccount }),
    podName: env.required('POD_NAME'),
    podNamespace,
    instanceIp: env.required('INSTANCE_IP'),
    nodeName: env.string('ISTIO_META_NODE_NAME', ''),
    domain: commandLine.domain ?? `${podNamespace}.svc.${DEFAULT_CLUSTER_DOMAIN}`,
    serviceCluster: commandLine.serviceCluster ?? `${serviceAccount}.${podNamespace}`,
    clusterId: env.string('ISTIO_META_CLUSTER_ID', DEFAULT_CLUSTER_ID),
    network: env.string('ISTIO_META_NETWORK', ''),
    discoveryAddress: discovery,
    caAddress: env.string('CA_ADDR', discovery),
    rootCertPath: env.string('XDS_ROOT_CA', Path.rootCert),
    tokenPath: env.string('ISTIO_TOKEN_PATH', Path.token),
    secretTtlMs: env.durationMs('SECRET_TTL', 24 * 3_600_000),
    minimumDrainMs: env.durationMs('MINIMUM_DRAIN_DURATION', MINIMUM_DRAIN_MS),
    drainDurationMs: env.durationMs(
      'TERMINATION_DRAIN_DURATION',
      durationOf(proxyConfig, 'terminationDrainDuration') ?? DRAIN_DURATION_MS,
    ),
    listenerDrainMs: durationOf(proxyConfig, 'drainDuration'),
    metadata: nodeMetadata(env, proxyConfig, serviceAccount),
    labels: readLabels(PODINFO_LABELS),
    logLevel: commandLine.logLevel ?? 'info',
    logFormat: env.optional('LOG_FORMAT') === 'json' ? 'json' : 'plain',
    ports: {
      admin: env.integer(
        'PROXY_ADMIN_PORT',
        portOf(proxyConfig, 'proxyAdminPort') ?? Port.ztunnelAdmin,
        portRange,
      ),
      stats: env.integer('STATS_PORT', Port.stats, portRange),
      readiness: env.integer('READINESS_PORT', Port.readiness, portRange),
      proxyStats: env.integer('PROXY_STATS_PORT', Port.proxyStats, portRange),
    },
  };
}

const portRange = { min: 0, max: 65_535 };

function nodeMetadata(
  env: Environment,
  proxyConfig: Readonly<Record<string, unknown>>,
  serviceAccount: string,
): ReadonlyMap<string, unknown> {
  const metadata = new Map<string, unknown>([
    ['SERVICE_ACCOUNT', serviceAccount],
    ['PROXY_CONFIG', proxyConfig],
    ['HBONE', 'true'],
  ]);
  for (const [name, value] of env.withPrefix('ISTIO_META_')) metadata.set(name, value);
  for (const [name, json] of env.withPrefix('ISTIO_METAJSON_')) {
    try {
      metadata.set(name, JSON.parse(json));
    } catch (error) {
      throw new WeftError('WEFT1001', `ISTIO_METAJSON_${name} is not JSON`, { cause: error });
    }
  }
  return metadata;
}

/** @throws WEFT2202 */
function readProxyConfig(json: string): Readonly<Record<string, unknown>> {
  if (json.trim() === '') return {};
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new WeftError('WEFT2202', describeError(error), { cause: error });
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new WeftError('WEFT2202', 'expected an object');
  }
  return value as Record<string, unknown>; // any object is one
}

/** @throws WEFT2202 */
function durationOf(proxyConfig: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = proxyConfig[name] ?? undefined;
  if (value === undefined) return undefined;
  const ms = typeof value === 'string' ? parseDurationMs(value) : undefined;
  if (ms === undefined) throw new WeftError('WEFT2202', `${name}: expected a duration such as 10s`);
  return ms;
}

/** @throws WEFT2202 */
function portOf(proxyConfig: Readonly<Record<string, unknown>>, name: string): number | undefined {
  const value = proxyConfig[name] ?? undefined;
  if (value === undefined) return undefined;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= portRange.max)
    return value;
  throw new WeftError('WEFT2202', `${name}: expected a port`);
}

/** The downward API's file: `key="value"` lines, the value quoted as in Go. */
function readLabels(path: string): ReadonlyMap<string, string> {
  const labels = new Map<string, string>();
  if (!existsSync(path)) return labels;
  for (const line of readFileSync(path, 'utf8').split('\n')) {
    const [, name, value] = /^([^=]+)="(.*)"$/.exec(line) ?? [];
    if (name !== undefined && value !== undefined) labels.set(name, value);
  }
  return labels;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
