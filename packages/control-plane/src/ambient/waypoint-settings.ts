import { type AccessLogFile, parseAccessLogs } from './access-log-settings.ts';
import { Fields, wrong } from './config-fields.ts';

/** What a MeshConfig says of all waypoints. */
export interface WaypointSettings {
  readonly connectTimeoutMs: number;
  readonly dnsRefreshRateMs: number;
  /** After how long without a stream a tunnel is closed. */
  readonly hboneIdleTimeoutMs: number;
  /** For how long the first bytes of a connection are waited for where they decide; 0: as long as it takes. */
  readonly protocolDetectionTimeoutMs: number;
  readonly pathNormalization: PathNormalization;
  readonly tcpKeepalive: TcpKeepalive | undefined;
  readonly accessLogs: readonly AccessLogFile[];
  /** Whether connections for which there is no filter chain are logged, too. */
  readonly logsUnmatched: boolean;
}

/** In seconds, but for the number of probes; what isn't there is the kernel's to say. */
export interface TcpKeepalive {
  readonly probes: number | undefined;
  readonly time: number | undefined;
  readonly interval: number | undefined;
}

const normalizations = ['DEFAULT', 'NONE', 'BASE', 'MERGE_SLASHES', 'DECODE_AND_MERGE_SLASHES'] as const;
export type PathNormalization = (typeof normalizations)[number];

export const defaultWaypointSettings: WaypointSettings = {
  connectTimeoutMs: 10_000,
  dnsRefreshRateMs: 60_000,
  hboneIdleTimeoutMs: 3_600_000,
  protocolDetectionTimeoutMs: 0,
  pathNormalization: 'DEFAULT',
  tcpKeepalive: undefined,
  accessLogs: [],
  logsUnmatched: true,
};

/** @throws with the path of what is wrong */
export function parseWaypointSettings(fields: Fields): WaypointSettings {
  const defaults = defaultWaypointSettings;
  const detection = fields.value('protocolDetectionTimeout');
  const normalization = new Fields(fields.value('pathNormalization') ?? {}, 'pathNormalization');
  return {
    connectTimeoutMs: fields.durationMs('connectTimeout') ?? defaults.connectTimeoutMs,
    dnsRefreshRateMs: fields.durationMs('dnsRefreshRate') ?? defaults.dnsRefreshRateMs,
    hboneIdleTimeoutMs: fields.durationMs('hboneIdleTimeout') ?? defaults.hboneIdleTimeoutMs,
    protocolDetectionTimeoutMs: detection === '0s' ? 0 : (fields.durationMs('protocolDetectionTimeout') ?? 0),
    pathNormalization: normalization.oneOf('normalization', normalizations),
    tcpKeepalive: tcpKeepalive(fields.value('tcpKeepalive')),
    accessLogs: parseAccessLogs(fields),
    logsUnmatched: !fields.flag('disableEnvoyListenerLog'),
  };
}

const MAX_PROBES = 127;

function tcpKeepalive(value: unknown): TcpKeepalive | undefined {
  if (value === undefined) return undefined;
  const fields = new Fields(value, 'tcpKeepalive');
  const seconds = (name: string): number | undefined => {
    const ms = fields.durationMs(name);
    if (ms !== undefined && ms < 1_000) throw wrong(fields.at(name), 'is less than a second');
    return ms === undefined ? undefined : Math.floor(ms / 1_000);
  };
  const probes = fields.value('probes') === undefined ? undefined : fields.integer('probes', MAX_PROBES);
  return { probes, time: seconds('time'), interval: seconds('interval') };
}
