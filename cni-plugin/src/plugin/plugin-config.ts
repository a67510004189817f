import { isLogLevel, type LogLevel } from '@weft/telemetry';
import { parseSelector, type EnablementSelector } from '../agent/enrolment.ts';
import { CniCode, CniFailure } from './cni-protocol.ts';

/** Our entry of the network configuration, as the runtime passes it on standard input. */
export interface PluginInput {
  readonly runDir: string;
  readonly logLevel: LogLevel;
  readonly selectors: readonly EnablementSelector[];
  readonly excludedNamespaces: readonly string[];
  /** Namespace of the agent's own pods. */
  readonly agentNamespace: string;
  /** What the plugins before this one made, which is passed on as it is; undefined for one that stands alone. */
  readonly prevResult: object | undefined;
}

type Fields = Readonly<Record<string, unknown>>;

/** Throws code 6. */
export function parseInput(text: string): Fields {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new CniFailure(CniCode.decodingFailure, 'standard input is no JSON', { cause: error });
  }
  if (!isObject(value)) throw new CniFailure(CniCode.decodingFailure, 'standard input is no object');
  return value;
}

/** Throws code 6. The first version had no name for itself. */
export function versionOf(fields: Fields): string {
  return textOf(fields, 'cniVersion', '0.1.0');
}

/** Throws code 6 with the name of a field of another type, WEFT1001 for a selector that means nothing. */
export function parsePluginInput(fields: Fields): PluginInput {
  const level = textOf(fields, 'plugin_log_level', 'info');
  const prevResult = fields['prevResult'] ?? undefined;
  if (prevResult !== undefined && !isObject(prevResult)) throw wrongType('prevResult', 'an object');
  return {
    runDir: textOf(fields, 'cni_agent_run_dir', '/var/run/istio-cni'),
    // An agent of a later version may know levels that we don't.
    logLevel: isLogLevel(level) ? level : 'info',
    selectors: listOf(fields, 'enablement_selectors').map((s, i) =>
      parseSelector(s, `enablement_selectors[${i}]`),
    ),
    excludedNamespaces: listOf(fields, 'exclude_namespaces').map(String),
    agentNamespace: textOf(fields, 'pod_namespace', 'istio-system'),
    prevResult,
  };
}

function textOf(fields: Fields, name: string, fallback: string): string {
  const found = fields[name] ?? fallback;
  if (typeof found !== 'string') throw wrongType(name, 'a string');
  return found;
}

function listOf(fields: Fields, name: string): readonly unknown[] {
  const found = fields[name] ?? [];
  if (!Array.isArray(found)) throw wrongType(name, 'a list');
  return found;
}

function wrongType(name: string, expected: string): CniFailure {
  return new CniFailure(CniCode.decodingFailure, `${name}: expected ${expected}`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
