import { DEFAULT_TRUST_DOMAIN } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { NodeFacts } from '../sources/facts.ts';
import { formatAddress } from './addresses.ts';

const { TunnelProtocol, WorkloadStatus } = istio.workload;

/** One workload behind one Service, as an L7 proxy needs it. */
export interface ServiceEndpoint {
  /** `namespace/hostname`. */
  readonly service: string;
  /** An IP, or a name that somebody has to look up. */
  readonly address: string;
  readonly ports: readonly { readonly servicePort: number; readonly targetPort: number }[];
  readonly tunneled: boolean;
  readonly healthy: boolean;
  /** With scheme; undefined where the workload has no certificate. */
  readonly identity: string | undefined;
  readonly namespace: string;
  readonly workloadName: string;
  readonly canonicalName: string;
  readonly canonicalRevision: string;
  readonly clusterId: string;
  readonly locality: NodeFacts | undefined;
}

/** What a workload contributes to each of its Services, by `service|uid`. */
export function serviceEndpoints(
  workload: istio.workload.Workload.$Properties,
): (readonly [string, ServiceEndpoint])[] {
  const [first] = workload.addresses ?? [];
  const address = first === undefined ? (workload.hostname ?? '') : formatAddress(first);
  if (address === '') return [];
  const { locality } = workload;
  const uid = workload.uid ?? '';
  const namespace = workload.namespace ?? '';
  const serviceAccount = workload.serviceAccount ?? '';
  const tunneled = workload.tunnelProtocol === TunnelProtocol.HBONE;
  const domain = workload.trustDomain || DEFAULT_TRUST_DOMAIN;
  const common = {
    address,
    tunneled,
    healthy: workload.status === WorkloadStatus.HEALTHY,
    identity:
      tunneled && serviceAccount !== ''
        ? `spiffe://${domain}/ns/${namespace}/sa/${serviceAccount}`
        : undefined,
    namespace,
    workloadName: workload.workloadName ?? '',
    canonicalName: workload.canonicalName ?? '',
    canonicalRevision: workload.canonicalRevision ?? '',
    clusterId: workload.clusterId ?? '',
    locality:
      locality === undefined || locality === null
        ? undefined
        : { region: locality.region ?? '', zone: locality.zone ?? '', subzone: locality.subzone ?? '' },
  };
  return Object.entries(workload.services ?? {}).map(([service, list]) => {
    const ports = (list.ports ?? []).map((port) => ({
      servicePort: port.servicePort ?? 0,
      targetPort: port.targetPort ?? 0,
    }));
    return [`${service}|${uid}`, { service, ports, ...common }];
  });
}
