import { istio } from '@weft/api/workload';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { serviceHostname } from '../ambient/services.ts';
import { serviceEndpoints } from '../ambient/service-endpoints.ts';
import type { Sources } from '../sources/sources.ts';

/** What one answer holds at most; `?namespace=` narrows it down. */
const MAX_LISTED = 10_000;

export interface RegistryOptions {
  readonly sources: Pick<Sources, 'services'>;
  readonly ambient: Pick<Ambient, 'workloads'>;
  readonly clusterId: string;
  readonly clusterDomain: string;
}

/** Of istiod's model.Service; named are the fields that are read here. */
export interface RegisteredService {
  readonly Attributes: {
    readonly LabelSelectors: Readonly<Record<string, string>>;
    readonly [attribute: string]: unknown;
  };
  readonly [field: string]: unknown;
}

/** `/debug/registryz`: Services, in the shape that istiod gives and Kiali reads. */
export function registry(o: RegistryOptions, namespace: string | null): RegisteredService[] {
  const listed: RegisteredService[] = [];
  for (const service of o.sources.services.values()) {
    if (listed.length >= MAX_LISTED) break;
    if (namespace !== null && service.namespace !== namespace) continue;
    const { name, labels, selector, clusterIps, ports } = service;
    listed.push({
      Attributes: {
        ServiceRegistry: 'Kubernetes',
        Name: name,
        Namespace: service.namespace,
        Labels: labels,
        ExportTo: {},
        LabelSelectors: selector,
      },
      hostname: serviceHostname(name, service.namespace, o.clusterDomain),
      clusterVIPs: { Addresses: { [o.clusterId]: clusterIps } },
      defaultAddress: clusterIps[0] ?? '0.0.0.0',
      ports: ports.map((port) => ({ name: port.name, port: port.port, protocol: port.appProtocol ?? 'TCP' })),
      Resolution: clusterIps.length === 0 ? PASSTHROUGH : CLIENT_SIDE_LB,
      MeshExternal: false,
    });
  }
  return listed;
}

/** Of istiod's Resolution. */
const CLIENT_SIDE_LB = 0;
const PASSTHROUGH = 2;

/** `/debug/endpointz`: the endpoints of each Service's port. */
export function endpoints({ ambient }: RegistryOptions, namespace: string | null): unknown[] {
  const bySvc = new Map<string, unknown[]>();
  let listed = 0;
  for (const { bytes } of ambient.workloads.values()) {
    const { workload } = istio.workload.Address.decode(bytes);
    if (workload === undefined || workload === null) continue;
    for (const [, endpoint] of serviceEndpoints(workload)) {
      const [serviceNamespace, hostname] = endpoint.service.split('/');
      if (namespace !== null && serviceNamespace !== namespace) continue;
      for (const { servicePort, targetPort } of endpoint.ports) {
        if (listed++ >= MAX_LISTED) return shown(bySvc);
        const svc = `${hostname ?? ''}:${servicePort}`;
        const found = bySvc.get(svc) ?? [];
        found.push({
          Addresses: [endpoint.address],
          EndpointPort: targetPort,
          HealthStatus: endpoint.healthy ? 1 : 2,
          WorkloadName: endpoint.workloadName,
          Namespace: endpoint.namespace,
          ServiceAccount: endpoint.identity ?? '',
          TLSMode: endpoint.tunneled ? 'istio' : 'disabled',
        });
        bySvc.set(svc, found);
      }
    }
  }
  return shown(bySvc);
}

function shown(bySvc: ReadonlyMap<string, readonly unknown[]>): unknown[] {
  return [...bySvc].map(([svc, ep]) => ({ svc, ep }));
}
