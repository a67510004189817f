import { CRL_CONFIGMAP, CRL_KEY, Label, ROOT_CERT_CONFIGMAP, ROOT_CERT_KEY } from '@weft/api';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import { type ConfigMap, type KubernetesClient, Reflector, isNotFound, resources } from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { NamespaceFacts } from '../sources/facts.ts';
import type { MeshAuthority } from './mesh-authority.ts';

export interface RootDistributionOptions {
  readonly client: KubernetesClient;
  readonly graph: Graph;
  readonly namespaces: Collection<NamespaceFacts>;
  readonly authority: Pick<MeshAuthority, 'rootsPem' | 'crlPem' | 'subscribe'>;
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

/** Keeps roots and revocations right in every namespace: also when somebody edits or deletes them. */
export function distributeRoots(options: RootDistributionOptions): void {
  const { authority } = options;
  distribute(options, {
    configMap: ROOT_CERT_CONFIGMAP,
    entry: ROOT_CERT_KEY,
    content: () => authority.rootsPem,
  });
  distribute(options, { configMap: CRL_CONFIGMAP, entry: CRL_KEY, content: () => authority.crlPem });
}

interface Distributed {
  readonly configMap: string;
  readonly entry: string;
  /** Empty: nothing is made, but what is there is emptied. */
  readonly content: () => string;
}

function distribute(options: RootDistributionOptions, { configMap, entry, content }: Distributed): void {
  const { client, graph, namespaces, authority, clock, logger, signal } = options;
  const labels = { [Label.config]: 'true' };

  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: async (name) => {
      const namespace = namespaces.get(name);
      if (namespace === undefined || namespace.terminating || excludedNamespaces.has(name)) return;
      const key = `${name}/${configMap}`;
      const text = content();
      const found = existing.get(key);
      if (found === undefined ? text === '' : isCurrent(found)) return;
      const object: ConfigMap = {
        metadata: { name: configMap, namespace: name, labels },
        data: { [entry]: text },
      };
      try {
        const manager = { fieldManager: FIELD_MANAGER, force: true };
        await client.apply(resources.configMaps, object, { ...manager, signal });
      } catch (error) {
        if (isNotFound(error)) return; // the namespace went away meanwhile
        throw new WeftError('WEFT1806', `ConfigMap ${key}`, { cause: error });
      }
    },
    onError: (_key, error) => logger.warn(`cannot distribute ${configMap}`, { error: describeError(error) }),
  });
  const isCurrent = ({ data, metadata }: ConfigMap): boolean =>
    data?.[entry] === content() && metadata.labels?.[Label.config] === 'true';

  let started = false;
  const enqueueAll = (): void => {
    for (const [name] of namespaces.entries()) reconciler.enqueue(name);
  };
  const existing = new Reflector<ConfigMap>({
    client,
    type: resources.configMaps,
    fieldSelector: `metadata.name=${configMap}`,
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
  const unsubscribeAuthority = authority.subscribe(() => {
    if (started) enqueueAll();
  });
  const stop = (): void => {
    unsubscribe();
    unsubscribeAuthority();
  };
  signal.addEventListener('abort', stop, { once: true });
}
