import { Component, Port } from '@weft/api';
import { resources, type Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { ClusterAccess } from '../cluster-access.ts';
import { withPortForward } from '../port-forward.ts';

/** The parts of ztunnel's `/config_dump` that the tables show. */
export interface ConfigDump {
  readonly workloads: readonly DumpedWorkload[];
  readonly services: readonly DumpedService[];
  readonly policies: readonly DumpedPolicy[];
  readonly certificates: readonly DumpedCertificate[];
  readonly workloadState: Readonly<Record<string, DumpedWorkloadState>>;
}
export interface DumpedWorkload {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  readonly node?: string;
  readonly workloadIps?: readonly string[];
  readonly protocol: string;
  readonly waypoint?: { readonly destination?: unknown };
}
export interface DumpedService {
  readonly name: string;
  readonly namespace: string;
  readonly hostname: string;
  readonly vips?: readonly string[];
  readonly waypoint?: { readonly destination?: unknown };
  readonly endpoints?: Readonly<Record<string, { readonly workloadUid?: string; readonly status?: string }>>;
}
export interface DumpedPolicy {
  readonly name: string;
  readonly namespace: string;
  readonly scope: string;
  readonly action: string;
}
export interface DumpedCertificate {
  readonly identity: string;
  readonly state: string;
  readonly certChain?: readonly DumpedX509[];
  readonly rootCerts?: readonly DumpedX509[];
}
export interface DumpedX509 {
  readonly pem: string;
  readonly serialNumber: string;
  readonly validFrom: string;
  readonly expirationTime: string;
}
export interface DumpedWorkloadState {
  readonly state: string;
  readonly info?: { readonly name: string; readonly namespace: string; readonly serviceAccount?: string };
  readonly connections?: {
    readonly inbound: readonly DumpedConnection[];
    readonly outbound: readonly DumpedConnection[];
  };
}
export interface DumpedConnection {
  readonly src: string;
  readonly originalDst?: string | null;
  readonly actualDst: string;
  readonly protocol: string;
}

export interface ZtunnelTarget {
  /** A ztunnel pod, or any pod: then the ztunnel of its node; as `name` or `name.namespace`. */
  readonly workload?: string;
  readonly node?: string;
  readonly adminPort: number;
}

/** The dump of the ztunnel that the target names; without one, of the first that is ready. */
export async function fetchConfigDump(access: ClusterAccess, target: ZtunnelTarget): Promise<ConfigDump> {
  const pod = await findZtunnel(access, target);
  return withPortForward(access, pod, target.adminPort, async (port) => {
    const response = await fetch(`http://127.0.0.1:${port}/config_dump`);
    if (!response.ok)
      throw new WeftError('WEFT1904', `/config_dump of ${pod.metadata.name} answered ${response.status}`);
    return (await response.json()) as ConfigDump; // our own ztunnel's or the Rust one's; the tables tolerate gaps
  });
}

async function findZtunnel(access: ClusterAccess, target: ZtunnelTarget): Promise<Pod> {
  const { client, istioNamespace, namespace } = access;
  const selection = { namespace: istioNamespace, labelSelector: `app=${Component.ztunnel}` };
  const { items } = await client.list(resources.pods, selection);
  let node = target.node;
  if (target.workload !== undefined) {
    const [name = '', podNamespace] = target.workload.replace(/^pods?\//, '').split('.');
    const own = items.find((pod) => pod.metadata.name === name);
    if (own !== undefined) return own;
    const pod = await client.get(resources.pods, name, podNamespace ?? namespace);
    node = pod.spec?.nodeName;
  }
  const found = items
    .filter((pod) => node === undefined || pod.spec?.nodeName === node)
    .sort((a, b) => Number(isReady(b)) - Number(isReady(a)))[0];
  if (found === undefined) {
    throw new WeftError(
      'WEFT1903',
      `no ztunnel pod${node === undefined ? '' : ` on node ${node}`} in namespace ${istioNamespace}`,
    );
  }
  return found;
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

export const defaultAdminPort = Port.ztunnelAdmin;
