import type { Ambient } from '../ambient/ambient-graph.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import type { ConnectionStatus } from '@weft/xds';
import { registry, type RegistryOptions } from './registry.ts';
import { proxyName } from './proxy-dump.ts';

export interface MeshPagesOptions extends RegistryOptions {
  readonly sources: Sources;
  readonly ambient: Ambient;
  readonly connections: () => readonly ConnectionStatus[];
  /** Whether the cluster was read once. */
  readonly synced: () => boolean;
}

/** What one answer holds at most; `?namespace=` narrows it down. */
const MAX_LISTED = 10_000;

interface ConfigObject {
  readonly namespace: string;
  readonly name: string;
  readonly spec?: unknown;
}

/** Kinds in whose facts the specification is, as users wrote it. */
const configKinds = [
  ['authorizationPolicies', 'security.istio.io/v1', 'AuthorizationPolicy'],
  ['peerAuthentications', 'security.istio.io/v1', 'PeerAuthentication'],
  ['requestAuthentications', 'security.istio.io/v1', 'RequestAuthentication'],
  ['serviceEntries', 'networking.istio.io/v1', 'ServiceEntry'],
  ['workloadEntries', 'networking.istio.io/v1', 'WorkloadEntry'],
  ['gateways', 'gateway.networking.k8s.io/v1', 'Gateway'],
] as const satisfies readonly (readonly [keyof Sources, string, string])[];

/** `/debug/configz`: what users configured, as it was read. */
export function configurations({ sources }: MeshPagesOptions, namespace: string | null): unknown[] {
  const listed: unknown[] = [];
  for (const [source, apiVersion, kind] of configKinds) {
    const objects: Iterable<ConfigObject> = sources[source].values();
    for (const object of objects) {
      if (listed.length >= MAX_LISTED) return listed;
      if (namespace !== null && object.namespace !== namespace) continue;
      listed.push({
        kind,
        apiVersion,
        metadata: { name: object.name, namespace: object.namespace },
        spec: object.spec,
      });
    }
  }
  return listed;
}

/** `/debug/authorizationz`: policies as they count, by namespace. */
export function authorizations({ ambient }: MeshPagesOptions, namespace: string | null): unknown {
  const byNamespace: Record<string, unknown[]> = {};
  for (const policy of ambient.authorizationPolicies.values()) {
    if (namespace !== null && policy.namespace !== namespace) continue;
    const { name, annotations, spec } = policy;
    (byNamespace[policy.namespace] ??= []).push({
      name,
      namespace: policy.namespace,
      annotations,
      spec,
    });
  }
  const { rootNamespace } = ambient.mesh.get(MESH_KEY) ?? ambient.defaultMesh;
  return {
    authorization_policies: { namespace_to_policies: byNamespace, root_namespace: rootNamespace },
  };
}

/** `/debug/networkz`: the gateways of other networks. */
export function networkGateways({ ambient, clusterId }: MeshPagesOptions): unknown[] {
  return [...ambient.networkGateways.values()].map((gateway) => ({
    Network: gateway.network,
    Cluster: clusterId,
    Addr: gateway.address,
    HBONEPort: gateway.hbonePort,
    ServiceAccount: { Namespace: gateway.namespace, Name: gateway.serviceAccount },
  }));
}

/** `/debug/clusterz`: the clusters that are read. */
export function clusters({ clusterId, synced }: MeshPagesOptions): unknown[] {
  return [{ id: clusterId, secretName: '', syncStatus: synced() ? 'synced' : 'syncing' }];
}

/** `/debug/instancesz`: the Services that each proxy's pod belongs to. */
export function instances(options: MeshPagesOptions): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    options.connections().map((connection) => {
      const name = proxyName(connection);
      const namespace = name.slice(name.indexOf('.') + 1);
      const pod = options.sources.pods.get(`${namespace}/${name.slice(0, name.indexOf('.'))}`);
      const services = pod === undefined ? [] : registry(options, namespace);
      const own = services.filter(({ Attributes: { LabelSelectors } }) => {
        const selected = Object.entries(LabelSelectors);
        return selected.length > 0 && selected.every(([label, value]) => pod?.labels[label] === value);
      });
      return [connection.node?.id ?? connection.id, own.map((service) => ({ Service: service }))];
    }),
  );
}
