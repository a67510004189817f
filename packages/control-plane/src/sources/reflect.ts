import { Label, MANAGED_BY_MESH, MESH_CONFIGMAP } from '@weft/api';
import type { Collection, Graph } from '@weft/collections';
import {
  type KubernetesClient,
  type KubernetesObject,
  Reflector,
  type ResourceType,
  resources,
} from '@weft/kubernetes';
import type { Counter, Logger } from '@weft/telemetry';
import type { ControlPlaneMetrics } from '../metrics.ts';
import { serviceEntryFacts, workloadEntryFacts } from './entries.ts';
import {
  type NamespaceFacts,
  endpointSliceFacts,
  namespaceFacts,
  nodeFacts,
  podFacts,
  serviceFacts,
} from './facts.ts';
import {
  backendTlsPolicyFacts,
  configMapFacts,
  gatewayClassFacts,
  gatewayFacts,
  grpcRouteFacts,
  httpRouteFacts,
  referenceGrantFacts,
  unservedRouteFacts,
} from './gateway-objects.ts';
import { policyObject } from './policy-objects.ts';
import { type Discovery, DiscoveryGate, type Writer, followDiscovery } from './discovery-gate.ts';
import { MESH_KEY, type Sources } from './sources.ts';

export interface ReflectOptions {
  readonly client: KubernetesClient;
  readonly systemNamespace: string;
  readonly revision: string;
  readonly graph: Graph;
  readonly sources: Sources;
  /** Which namespaces are read. */
  readonly discovery: Collection<Discovery>;
  readonly discoveredNamespaces: Collection<NamespaceFacts>;
  readonly events: ControlPlaneMetrics['events'];
  readonly replacedWatches: Pick<Counter<'type'>, 'inc'>;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/**
 * Mirrors the API server into the sources. Resolves once every one of them is complete, and the first
 * state is computed: nobody may be told of a mesh that is half known. Rejects when the signal aborts before.
 */
export async function reflectCluster(options: ReflectOptions): Promise<void> {
  const { client, systemNamespace, revision, graph, sources, events, replacedWatches, logger, signal } =
    options;
  const synced: Promise<void>[] = [];
  const gate = new DiscoveryGate();

  const reflect = <T extends KubernetesObject, F>(
    type: ResourceType<T>,
    source: Writer<F>,
    facts: (object: T, key: string) => F | undefined,
    selection: {
      readonly namespace?: string;
      readonly fieldSelector?: string;
      readonly labelSelector?: string;
    } = {},
  ): void => {
    const complete = new Promise<void>((resolve, reject) => {
      if (signal.aborted) return reject(new Error('stopped'));
      signal.addEventListener('abort', () => reject(new Error('stopped')), { once: true });
      new Reflector<T>({
        client,
        type,
        ...selection,
        signal,
        logger,
        onStall: () => replacedWatches.inc({ type: type.kind }),
        // Ours may be installed after us.
        absentIsEmpty: true,
        retain: identityOnly,
        onChange: (changes) => {
          for (const change of changes) {
            events.inc({ type: type.kind, event: change.kind });
            const value = change.kind === 'upsert' ? facts(change.object, change.key) : undefined;
            if (value === undefined) source.delete(change.key);
            else source.set(change.key, value);
          }
        },
        onSynced: resolve,
      });
    });
    synced.push(complete);
  };

  reflect(resources.pods, gate.guard(sources.pods), podFacts);
  reflect(resources.services, gate.guard(sources.services), serviceFacts);
  reflect(resources.endpointSlices, gate.guard(sources.endpointSlices), endpointSliceFacts);
  reflect(resources.namespaces, sources.namespaces, namespaceFacts);
  reflect(resources.nodes, sources.nodes, nodeFacts);
  reflect(resources.serviceAccounts, sources.serviceAccounts, () => true as const);
  reflect(resources.authorizationPolicies, gate.guard(sources.authorizationPolicies), policyObject);
  reflect(resources.peerAuthentications, gate.guard(sources.peerAuthentications), policyObject);
  reflect(resources.requestAuthentications, gate.guard(sources.requestAuthentications), policyObject);
  reflect(resources.serviceEntries, gate.guard(sources.serviceEntries), serviceEntryFacts);
  reflect(resources.workloadEntries, gate.guard(sources.workloadEntries), workloadEntryFacts);
  reflect(resources.gateways, gate.guard(sources.gateways), gatewayFacts);
  reflect(resources.gatewayClasses, sources.gatewayClasses, gatewayClassFacts);
  reflect(resources.httpRoutes, gate.guard(sources.httpRoutes), httpRouteFacts);
  reflect(resources.grpcRoutes, gate.guard(sources.grpcRoutes), grpcRouteFacts);
  reflect(resources.tcpRoutes, gate.guard(sources.tcpRoutes), unservedRouteFacts('TCPRoute'));
  reflect(resources.tlsRoutes, gate.guard(sources.tlsRoutes), unservedRouteFacts('TLSRoute'));
  reflect(resources.udpRoutes, gate.guard(sources.udpRoutes), unservedRouteFacts('UDPRoute'));
  reflect(resources.backendTlsPolicies, gate.guard(sources.backendTlsPolicies), backendTlsPolicyFacts);
  reflect(resources.referenceGrants, gate.guard(sources.referenceGrants), referenceGrantFacts);
  reflect(resources.deployments, sources.managedDeployments, ({ metadata }) => metadata.generation ?? 0, {
    labelSelector: `${Label.gatewayManaged}=${MANAGED_BY_MESH}`,
  });

  reflect(resources.configMaps, sources.classDefaults, configMapFacts, {
    namespace: systemNamespace,
    labelSelector: Label.gatewayDefaultsForClass,
  });

  const configMapName = meshConfigMapName(revision);
  const setMeshConfig = (key: string, text: string): void => {
    if (key === `${systemNamespace}/${configMapName}`) sources.meshConfig.set(MESH_KEY, text);
  };
  sources.meshConfig.set(MESH_KEY, '');
  reflect(
    resources.configMaps,
    { set: setMeshConfig, delete: (key) => setMeshConfig(key, '') },
    ({ data }) => data?.['mesh'] ?? '',
    { namespace: systemNamespace, fieldSelector: `metadata.name=${configMapName}` },
  );

  await Promise.all(synced);
  graph.build();
  // First what says which namespaces are read, then what is in them.
  await graph.settled();
  followDiscovery(gate, options);
  await graph.settled();
}

export function meshConfigMapName(revision: string): string {
  return revision === '' || revision === 'default' ? MESH_CONFIGMAP : `${MESH_CONFIGMAP}-${revision}`;
}

/** The sources hold what we need; the mirror has to remember only what exists, in which version. */
function identityOnly<T extends KubernetesObject>(object: T): T {
  const { name = '', namespace, uid, resourceVersion } = object.metadata;
  const metadata = {
    name,
    ...(namespace === undefined ? {} : { namespace }),
    ...(uid === undefined ? {} : { uid }),
    ...(resourceVersion === undefined ? {} : { resourceVersion }),
  };
  return { metadata } as T; // consumers read deletions by key alone
}
