import { WeftError } from '@weft/telemetry';
import { parseSelector, type EnablementSelector } from '../agent/enrolment.ts';

/** Our entry of the network configuration, as the runtime passes it on standard input. */
export interface PluginInput {
  readonly cniVersion: string;
  readonly runDir: string;
  readonly selectors: readonly EnablementSelector[];
  readonly excludedNamespaces: readonly string[];
  /** Namespace of the agent's own pods. */
  readonly agentNamespace: string;
  readonly prevResult: unknown;
}

/** Throws WEFT1706 with the field's name. */
export function parsePluginInput(text: string): PluginInput {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT1706', 'standard input is no JSON', { cause: error });
  }
  if (typeof value !== 'object' || value === null)
    throw new WeftError('WEFT1706', 'standard input is no object');
  const field = (name: string): unknown =>
    Object.hasOwn(value, name) ? Reflect.get(value, name) : undefined;
  const textOf = (name: string, fallback: string): string => {
    const found = field(name) ?? fallback;
    if (typeof found !== 'string') throw new WeftError('WEFT1706', `${name}: expected a string`);
    return found;
  };
  const list = (name: string): readonly unknown[] => {
    const found = field(name) ?? [];
    if (!Array.isArray(found)) throw new WeftError('WEFT1706', `${name}: expected a list`);
    return found;
  };
  return {
    cniVersion: textOf('cniVersion', '0.3.1'),
    runDir: textOf('cni_agent_run_dir', '/var/run/istio-cni'),
    selectors: list('enablement_selectors').map((s, i) => parseSelector(s, `enablement_selectors[${i}]`)),
    excludedNamespaces: list('exclude_namespaces').map(String),
    agentNamespace: textOf('pod_namespace', 'istio-system'),
    prevResult: field('prevResult'),
  };
}
