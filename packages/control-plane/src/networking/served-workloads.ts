import { isIP } from 'node:net';
import { Annotation, Label, Redirection } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { Collection, Graph, Labels } from '@weft/collections';
import type { Ambient } from '../ambient/ambient-graph.ts';
import type { NamespaceFacts } from '../sources/facts.ts';
import { MESH_KEY, type Sources } from '../sources/sources.ts';
import { bindWaypoint } from '../ambient/waypoint-binding.ts';
import type { Waypoint } from '../ambient/waypoints.ts';
import { tunnel } from '../ambient/workloads.ts';
import { gatewayKey } from './waypoint-services.ts';
import type { ServedWorkload } from './workload-config.ts';

interface Candidate {
  readonly namespace: string;
  readonly labels: Labels;
  readonly addresses: readonly string[];
  readonly tunneled: boolean;
  readonly serviceAccount: string;
}

/** Whose own addresses a waypoint serves: pods, machines, and endpoints that ServiceEntries name. */
export function createServedWorkloads(
  graph: Graph,
  sources: Sources,
  { mesh, defaultMesh, waypoints, visibleEntries }: Ambient,
): Collection<ServedWorkload> {
  const uses = { mesh, namespaces: sources.namespaces, waypoints };
  const served = (
    { namespace, labels, addresses, tunneled, serviceAccount }: Candidate,
    fetch: {
      readonly mesh: { get(key: string): { readonly trustDomain: string } | undefined };
      readonly namespaces: { get(key: string): NamespaceFacts | undefined };
      readonly waypoints: { get(key: string): Waypoint | undefined };
    },
  ): ServedWorkload | undefined => {
    // A waypoint's own pods can't be behind one.
    if (addresses.length === 0 || labels[Label.gatewayName] !== undefined) return undefined;
    const namespaceLabels = fetch.namespaces.get(namespace)?.labels ?? {};
    const binding = bindWaypoint(
      { kind: 'workload', namespace, labels, namespaceLabels },
      { waypoint: (at) => fetch.waypoints.get(at) },
    );
    if (binding.kind !== 'bound') return undefined;
    const { trustDomain } = fetch.mesh.get(MESH_KEY) ?? defaultMesh;
    return {
      waypoint: gatewayKey(binding.waypoint),
      addresses,
      identity:
        tunneled && serviceAccount !== ''
          ? `spiffe://${trustDomain}/ns/${namespace}/sa/${serviceAccount}`
          : undefined,
    };
  };
  const pods = graph.map('servedPods', {
    from: sources.pods,
    uses,
    transform: ({ namespace, labels, addresses, redirected, serviceAccount }, fetch) =>
      served({ namespace, labels, addresses, tunneled: redirected, serviceAccount }, fetch),
  });
  const machines = graph.flatMap('servedMachines', {
    from: sources.workloadEntries,
    uses,
    transform: ({ namespace, labels, annotations, spec }, fetch, key) => {
      const { address, serviceAccount = '' } = spec;
      const tunneled = isTunneled(labels, annotations);
      const addresses = addressesOf(address);
      const found = served({ namespace, labels, addresses, tunneled, serviceAccount }, fetch);
      return found === undefined ? [] : [[`WorkloadEntry ${key}`, found] as const];
    },
  });
  const endpoints = graph.flatMap('servedEndpoints', {
    from: visibleEntries,
    uses,
    transform: ({ entry: { namespace, labels, annotations, spec } }, fetch, key) =>
      (spec.endpoints ?? []).flatMap(({ address, serviceAccount = '' }, i) => {
        const addresses = addressesOf(address);
        const tunneled = isTunneled(labels, annotations);
        const found = served({ namespace, labels, addresses, tunneled, serviceAccount }, fetch);
        return found === undefined ? [] : [[`ServiceEntry ${key} ${i}`, found] as const];
      }),
  });
  return graph.join('servedWorkloads', [pods, machines, endpoints]);
}

/** Who has a name and no address is reached by what the name stands for, which nobody knows here. */
function addressesOf(address = ''): readonly string[] {
  return isIP(address) === 0 ? [] : [address];
}

function isTunneled(labels: Labels, annotations: Labels): boolean {
  const isRedirected = annotations[Annotation.redirection] === Redirection.enabled;
  return tunnel(labels, isRedirected).tunnelProtocol === istio.workload.TunnelProtocol.HBONE;
}
