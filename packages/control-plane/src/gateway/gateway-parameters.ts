import type { ConfigMapFacts, GatewayFacts, ParameterConfigMap } from '../sources/gateway-objects.ts';
import { type Overlay, parseOverlay } from './overlays.ts';

/** What is to be changed in a Gateway's objects. `unknown`: it has not been read yet. */
export type GatewayParameters =
  | { readonly kind: 'valid'; readonly overlays: readonly Overlay[] }
  | { readonly kind: 'invalid'; readonly message: string }
  | { readonly kind: 'unknown' };

export interface ParametersContext {
  /** ConfigMaps that are there for every Gateway of the class. */
  readonly defaults: readonly ConfigMapFacts[];
  readonly configMap: (key: string) => ParameterConfigMap | undefined;
}

/** Those of the class first, so that the Gateway's own have the last word. */
export function gatewayParameters(
  { namespace, spec }: GatewayFacts,
  { defaults, configMap }: ParametersContext,
): GatewayParameters {
  const found = [...defaults].sort((a, b) => (a.name < b.name ? -1 : 1));
  const reference = spec.infrastructure?.parametersRef;
  if (reference !== undefined) {
    const { group, kind, name } = reference;
    if (group !== '' || kind !== 'ConfigMap') {
      const message = `parametersRef: only a ConfigMap is supported, not group "${group}" kind "${kind}"`;
      return { kind: 'invalid', message };
    }
    const own = configMap(`${namespace}/${name}`);
    if (own === undefined) return { kind: 'unknown' };
    if (own.kind === 'absent') return { kind: 'invalid', message: `parametersRef: ${own.why}` };
    found.push(own);
  }
  const overlays: Overlay[] = [];
  for (const { namespace: at, name, data } of found) {
    const parsed = parseOverlay(`${at}/${name}`, data);
    if (parsed.kind === 'invalid') return parsed;
    overlays.push(parsed.overlay);
  }
  return { kind: 'valid', overlays };
}
