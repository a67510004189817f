import { BlockList, isIP } from 'node:net';
import {
  DEFAULT_CLUSTER_DOMAIN,
  DEFAULT_CLUSTER_ID,
  DEFAULT_TRUST_DOMAIN,
  Port,
  SYSTEM_NAMESPACE,
  TOKEN_AUDIENCE,
} from '@weft/api';
import { DEFAULT_THROTTLE } from '@weft/xds';
import type { RequireWaypointDefault } from './ambient/require-waypoint.ts';
import { Environment, type LogFormat, type LogLevel, WeftError } from '@weft/telemetry';

export interface ControlPlaneConfig {
  readonly podName: string;
  readonly namespace: string;
  /** Until the mesh configuration says otherwise. */
  readonly trustDomain: string;
  readonly clusterId: string;
  readonly clusterDomain: string;
  /** Empty or `default` for the only one. */
  readonly revision: string;
  readonly version: string;
  readonly log: { readonly level: LogLevel; readonly format: LogFormat };
  readonly ports: {
    readonly plaintextXds: number;
    readonly xds: number;
    readonly metrics: number;
    readonly webhooks: number;
    readonly ready: number;
  };
  readonly certificates: {
    readonly directory: string;
    readonly tokenAudiences: readonly string[];
    /** `namespace/serviceAccount`. */
    readonly trustedNodeAccounts: ReadonlySet<string>;
    /** Whose header `x-forwarded-client-cert` counts. */
    readonly trustedGateways: BlockList;
    readonly defaultTtlMs: number;
    readonly maxTtlMs: number;
  };
  /** Which Services can't be reached around their waypoint, where no label decides. */
  readonly requireWaypoint: RequireWaypointDefault;
  /** Workloads behind waypoints allow them, and so nobody else unless told otherwise. */
  readonly allowWaypoints: boolean;
  /** ztunnels are told of policies in dry run. */
  readonly sendDryRun: boolean;
  /** What waypoints run. */
  readonly proxyImage: string;
  readonly debounce: { readonly quietMs: number; readonly maxMs: number };
  readonly xds: {
    /** Whether an authenticated proxy must be who its node metadata says. */
    readonly identityCheck: boolean;
    readonly authentication: boolean;
    readonly maxConnectionAgeMs: number;
    readonly pushConcurrency: number;
    readonly connectionsPerSecond: number;
  };
}

const DAY_MS = 24 * 3_600_000;

/** @throws WEFT1001 naming the variable that can't be parsed */
export function readConfig(
  variables: Readonly<Record<string, string | undefined>>,
  version: string,
): ControlPlaneConfig {
  const environment = new Environment(variables);
  const port = (name: string, fallback: number): number =>
    environment.integer(name, fallback, { min: 0, max: 65_535 });
  const namespace = environment.string('POD_NAMESPACE', SYSTEM_NAMESPACE);
  const defaultTtlMs = environment.durationMs('DEFAULT_WORKLOAD_CERT_TTL', DAY_MS);
  const maxTtlMs = environment.durationMs('MAX_WORKLOAD_CERT_TTL', 90 * DAY_MS);
  if (defaultTtlMs > maxTtlMs) {
    throw new WeftError('WEFT1001', 'DEFAULT_WORKLOAD_CERT_TTL is longer than MAX_WORKLOAD_CERT_TTL');
  }
  return {
    podName: environment.string('POD_NAME', 'istiod'),
    namespace,
    trustDomain: environment.string('TRUST_DOMAIN', DEFAULT_TRUST_DOMAIN),
    clusterId: environment.string('CLUSTER_ID', DEFAULT_CLUSTER_ID),
    clusterDomain: environment.string('CLUSTER_DOMAIN', DEFAULT_CLUSTER_DOMAIN),
    revision: environment.string('REVISION', ''),
    version,
    log: {
      level: environment.oneOf('LOG_LEVEL', ['off', 'error', 'warn', 'info', 'debug', 'trace'], 'info'),
      format: environment.oneOf('LOG_FORMAT', ['plain', 'json'], 'plain'),
    },
    ports: {
      plaintextXds: port('PLAINTEXT_XDS_PORT', Port.plaintextXds),
      xds: port('XDS_PORT', Port.xds),
      metrics: port('METRICS_PORT', Port.controlPlaneMetrics),
      webhooks: port('WEBHOOK_PORT', Port.webhooks),
      ready: port('READY_PORT', Port.controlPlaneReady),
    },
    certificates: {
      directory: environment.string('ROOT_CA_DIR', '/etc/cacerts'),
      tokenAudiences: list(environment.string('TOKEN_AUDIENCES', TOKEN_AUDIENCE)),
      trustedNodeAccounts: new Set(accounts(environment.string('CA_TRUSTED_NODE_ACCOUNTS', ''))),
      trustedGateways: networks(list(environment.string('TRUSTED_GATEWAY_CIDR', ''))),
      defaultTtlMs,
      maxTtlMs,
    },
    proxyImage: environment.string('PROXY_IMAGE', 'weft/proxyv2:latest'),
    requireWaypoint: environment.oneOf('REQUIRE_WAYPOINT', ['never', 'policy', 'asked'], 'policy'),
    allowWaypoints: environment.boolean('PILOT_AUTO_ALLOW_WAYPOINT_POLICY', false),
    sendDryRun: environment.boolean('AMBIENT_ENABLE_DRY_RUN_AUTHORIZATION_POLICY', false),
    debounce: {
      quietMs: environment.durationMs('PILOT_DEBOUNCE_AFTER', 100),
      maxMs: environment.durationMs('PILOT_DEBOUNCE_MAX', 10_000),
    },
    xds: {
      authentication: environment.boolean('XDS_AUTH', true),
      identityCheck: environment.boolean('PILOT_ENABLE_XDS_IDENTITY_CHECK', true),
      pushConcurrency: environment.integer('PILOT_PUSH_THROTTLE', DEFAULT_THROTTLE, { min: 1, max: 100_000 }),
      connectionsPerSecond: environment.integer('PILOT_MAX_REQUESTS_PER_SECOND', DEFAULT_THROTTLE, {
        min: 1,
        max: 100_000,
      }),
      maxConnectionAgeMs: environment.durationMs('MAX_SERVER_CONNECTION_AGE', 30 * 60_000),
    },
  };
}

function list(text: string): string[] {
  return text
    .split(',')
    .map((part) => part.trim())
    .filter((part) => part !== '');
}

function accounts(text: string): string[] {
  const parsed = list(text);
  const wrong = parsed.find((account) => !/^[^/]+\/[^/]+$/.test(account));
  if (wrong !== undefined) {
    throw new WeftError('WEFT1001', `CA_TRUSTED_NODE_ACCOUNTS: "${wrong}" is not namespace/serviceAccount`);
  }
  return parsed;
}

/** @throws WEFT1001 */
function networks(texts: readonly string[]): BlockList {
  const networks = new BlockList();
  for (const text of texts) {
    const [address = '', prefix, extra] = text.split('/');
    const family = isIP(address);
    const bits = Number(prefix ?? Number.NaN);
    if (
      family === 0 ||
      extra !== undefined ||
      !(Number.isInteger(bits) && bits >= 0 && bits <= (family === 4 ? 32 : 128))
    )
      throw new WeftError('WEFT1001', `TRUSTED_GATEWAY_CIDR: "${text}" is no network`);
    networks.addSubnet(address, bits, family === 4 ? 'ipv4' : 'ipv6');
  }
  return networks;
}
