import type { envoy } from '@weft/api/envoy';
import type { ServiceEndpoint } from '../ambient/service-endpoints.ts';
import type { NodeFacts } from '../sources/facts.ts';
import { Metadata, Name } from './names.ts';

type Assignment = envoy.config.endpoint.v3.ClusterLoadAssignment.$Properties;
type LbEndpoint = envoy.config.endpoint.v3.LbEndpoint.$Properties;

/** Where the port of a Service goes; grouped by locality, sorted, so that equal content has equal bytes. */
export function loadAssignment(
  clusterName: string,
  port: number,
  endpoints: readonly ServiceEndpoint[],
  o: { readonly unreadyToo: boolean },
): Assignment {
  const groups = new Map<string, { locality: NodeFacts | undefined; lbEndpoints: LbEndpoint[] }>();
  for (const endpoint of endpoints) {
    if (!endpoint.healthy && !o.unreadyToo) continue;
    const target = endpoint.ports.find(({ servicePort }) => servicePort === port);
    if (target === undefined) continue;
    const { locality } = endpoint;
    const key = locality === undefined ? '' : `${locality.region}/${locality.zone}/${locality.subzone}`;
    const group = groups.get(key) ?? { locality, lbEndpoints: [] };
    group.lbEndpoints.push(lbEndpoint(endpoint, target.targetPort));
    groups.set(key, group);
  }
  return {
    clusterName,
    endpoints: [...groups]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, { locality, lbEndpoints }]) => ({
        ...(locality === undefined
          ? {}
          : { locality: { region: locality.region, zone: locality.zone, subZone: locality.subzone } }),
        lbEndpoints,
        loadBalancingWeight: { value: lbEndpoints.length },
      })),
  };
}

function lbEndpoint(endpoint: ServiceEndpoint, port: number): LbEndpoint {
  const { address, tunneled, identity } = endpoint;
  const { workloadName, namespace, canonicalName, canonicalRevision, clusterId } = endpoint;
  const istio = {
    fields: {
      workload: {
        stringValue: [workloadName, namespace, canonicalName, canonicalRevision, clusterId].join(';'),
      },
    },
  };
  if (!tunneled) {
    return {
      endpoint: { address: { socketAddress: { address, portValue: port } } },
      metadata: { filterMetadata: { [Metadata.istio]: istio } },
      loadBalancingWeight: { value: 1 },
    };
  }
  const destination = address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
  return {
    endpoint: {
      address: {
        envoyInternalAddress: { serverListenerName: Name.connectOriginate, endpointId: destination },
      },
    },
    metadata: {
      filterMetadata: {
        [Metadata.originalDestination]: { fields: { local: { stringValue: destination } } },
        [Metadata.istio]: istio,
        ...(identity === undefined
          ? {}
          : { [Metadata.weft]: { fields: { identity: { stringValue: identity } } } }),
      },
    },
    loadBalancingWeight: { value: 1 },
  };
}
