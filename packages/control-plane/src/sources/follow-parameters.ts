import type { ChangeSet, Collection, Graph, SourceCollection } from '@weft/collections';
import { type KubernetesClient, Reflector, resources } from '@weft/kubernetes';
import type { Logger } from '@weft/telemetry';
import { type GatewayFacts, type ParameterConfigMap, configMapFacts } from './gateway-objects.ts';

export interface FollowParametersOptions {
  readonly client: Pick<KubernetesClient, 'list' | 'watch' | 'version'>;
  readonly graph: Graph;
  readonly gateways: Collection<GatewayFacts>;
  readonly configMaps: Pick<SourceCollection<ParameterConfigMap>, 'set' | 'delete'>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** Each is a watch of its own. */
export const MAX_PARAMETER_CONFIG_MAPS = 500;

/**
 * Follows the ConfigMaps that Gateways refer to, one by one: a cluster's ConfigMaps are many and large, and those of
 * Gateways are few.
 */
export function followParameters(options: FollowParametersOptions): void {
  const { graph, gateways, configMaps, signal } = options;
  const followed = new Map<string, AbortController>();
  const follow = (): void => {
    const wanted = new Set([...gateways.values()].flatMap(referredConfigMap));
    for (const [key, controller] of followed) {
      if (wanted.has(key)) continue;
      controller.abort();
      followed.delete(key);
      configMaps.delete(key);
    }
    for (const key of wanted) {
      if (followed.has(key)) continue;
      if (followed.size >= MAX_PARAMETER_CONFIG_MAPS) {
        const why = `ConfigMap ${key} is not read: ${MAX_PARAMETER_CONFIG_MAPS} others are referred to already`;
        configMaps.set(key, { kind: 'absent', why });
        continue;
      }
      const controller = new AbortController();
      followed.set(key, controller);
      reflect(key, options, AbortSignal.any([signal, controller.signal]));
    }
  };
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    if (changes.of(gateways).size > 0) follow();
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  follow();
}

function reflect(
  key: string,
  { client, configMaps, logger }: FollowParametersOptions,
  signal: AbortSignal,
): void {
  const [namespace = '', name = ''] = key.split('/');
  const absent: ParameterConfigMap = { kind: 'absent', why: `ConfigMap ${key} not found` };
  let isThere = false;
  new Reflector({
    client,
    type: resources.configMaps,
    namespace,
    fieldSelector: `metadata.name=${name}`,
    signal,
    logger,
    onChange: (changes) => {
      for (const change of changes) {
        if (change.key !== key) continue;
        isThere = change.kind === 'upsert';
        configMaps.set(
          key,
          change.kind === 'upsert' ? { kind: 'present', ...configMapFacts(change.object) } : absent,
        );
      }
    },
    onSynced: () => {
      if (!isThere) configMaps.set(key, absent);
    },
  });
}

function referredConfigMap({ namespace, spec }: GatewayFacts): string[] {
  const reference = spec.infrastructure?.parametersRef;
  return reference?.kind === 'ConfigMap' && reference.group === '' ? [`${namespace}/${reference.name}`] : [];
}
