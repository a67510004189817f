import { Label, ROOT_CERT_CONFIGMAP, ROOT_CERT_KEY } from '@weft/api';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import { type ConfigMap, type KubernetesClient, Reflector, isNotFound, resources } from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { NamespaceFacts } from '../sources/facts.ts';

export interface RootDistributionOptions {
  readonly client: KubernetesClient;
  readonly graph: Graph;
  readonly namespaces: Collection<NamespaceFacts>;
  readonly rootsPem: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

const FIELD_MANAGER = 'istio-root-distribution';
const excludedNamespaces: ReadonlySet<string> = new Set([
  'kube-public',
  'kube-node-lease',
  'local-path-storage',
]);

/** Keeps ConfigMap `istio-ca-root-cert` right in every namespace: also when somebody edits or deletes it. */
export function distributeRoots(options: RootDistributionOptions): void {
  const { client, graph, namespaces, rootsPem, clock, logger, signal } = options;
  const labels = { [Label.config]: 'true' };

  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (name) => {
      const namespace = namespaces.get(name);
      if (namespace === undefined || namespace.terminating || excludedNamespaces.has(name)) return;
      const key = `${name}/${ROOT_CERT_CONFIGMAP}`;
      if (isCurrent(existing.get(key), rootsPem)) return;
      const object: ConfigMap = {
        metadata: { name: ROOT_CERT_CONFIGMAP, namespace: name, labels },
        data: { [ROOT_CERT_KEY]: rootsPem },
      };
      try {
        const manager = { fieldManager: FIELD_MANAGER, force: true };
        await client.apply(resources.configMaps, object, { ...manager, signal });
      } catch (error) {
        if (isNotFound(error)) return; // the namespace went away meanwhile
        throw new WeftError('WEFT1806', `ConfigMap ${key}`, { cause: error });
      }
    },
    onError: (_key, error) =>
      logger.warn('cannot distribute the root certificate', { error: describeError(error) }),
  });

  let started = false;
  const enqueueAll = (): void => {
    for (const [name] of namespaces.entries()) reconciler.enqueue(name);
  };
  const existing = new Reflector<ConfigMap>({
    client,
    type: resources.configMaps,
    fieldSelector: `metadata.name=${ROOT_CERT_CONFIGMAP}`,
    onChange: (changes) => {
      // Before the first complete set everything looks missing.
      if (!started) return;
      for (const { object } of changes) reconciler.enqueue(object.metadata.namespace ?? '');
    },
    onSynced: () => {
      started = true;
      enqueueAll();
    },
    signal,
    logger,
  });
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    if (started) for (const name of changes.of(namespaces).keys()) reconciler.enqueue(name);
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
}

function isCurrent(existing: ConfigMap | undefined, rootsPem: string): boolean {
  return existing?.data?.[ROOT_CERT_KEY] === rootsPem && existing.metadata.labels?.[Label.config] === 'true';
}
