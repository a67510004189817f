import { Component, Port } from '@weft/api';
import { resources, type Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { ClusterAccess } from '../cluster-access.ts';
import { podByName } from '../pod-by-name.ts';
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
  /** A ztunnel pod, or any pod: then the ztunnel of its node; as {@link podByName} reads it. */
  readonly workload?: string;
  readonly node?: string;
  readonly adminPort: number;
}

/** A dump of a node with a thousand pods takes a second. */
const DUMP_TIMEOUT_MS = 30_000;

/** The dump of the ztunnel that the target names; without one, of the first that is ready. Throws WEFT1903, WEFT1904, WEFT1910. */
export async function fetchConfigDump(
  access: ClusterAccess,
  target: ZtunnelTarget,
): Promise<{ readonly dump: ConfigDump; readonly pod: Pod }> {
  const pod = await findZtunnel(access, target);
  const dump = await withPortForward(access, pod, target.adminPort, async (port) => {
    const what = `/config_dump of ${pod.metadata.name}`;
    try {
      const signal = AbortSignal.timeout(DUMP_TIMEOUT_MS);
      const response = await fetch(`http://127.0.0.1:${port}/config_dump`, { signal });
      if (!response.ok) throw new WeftError('WEFT1904', `${what} answered ${response.status}`);
      return parseConfigDump(await response.text(), what);
    } catch (error) {
      throw WeftError.is(error) ? error : new WeftError('WEFT1904', what, { cause: error });
    }
  });
  return { dump, pod };
}

/** Our own ztunnel's or the Rust one's. Throws WEFT1910 with the source's name when it is neither. */
export function parseConfigDump(text: string, source: string): ConfigDump {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT1910', `${source} is no ztunnel's /config_dump`, { cause: error });
  }
  const has = (part: string): boolean =>
    typeof value === 'object' && value !== null && typeof Reflect.get(value, part) === 'object';
  if (!['workloads', 'services', 'policies', 'certificates', 'workloadState'].every(has))
    throw new WeftError('WEFT1910', `${source} is no ztunnel's /config_dump`);
  return value as ConfigDump; // its parts are there; the tables tolerate gaps in them
}

async function findZtunnel(access: ClusterAccess, target: ZtunnelTarget): Promise<Pod> {
  const [pod] = await findZtunnels(access, target);
  return pod;
}

/** The ztunnel that the target names; without one all, those that are ready first. Throws WEFT1903. */
export async function findZtunnels(
  access: ClusterAccess,
  target: Omit<ZtunnelTarget, 'adminPort'>,
): Promise<readonly [Pod, ...Pod[]]> {
  const { client, istioNamespace, namespace } = access;
  const selection = { namespace: istioNamespace, labelSelector: `app=${Component.ztunnel}` };
  const { items } = await client.list(resources.pods, selection);
  let node = target.node;
  if (target.workload !== undefined) {
    // A ztunnel may be named without its namespace.
    const own = items.find((pod) => pod.metadata.name === target.workload);
    const pod = own ?? (await podByName(client, target.workload, namespace));
    if (items.some(({ metadata }) => metadata.uid === pod.metadata.uid)) return [pod];
    node = pod.spec?.nodeName;
  }
  const [first, ...others] = items
    .filter((pod) => node === undefined || pod.spec?.nodeName === node)
    .sort((a, b) => Number(isReady(b)) - Number(isReady(a)));
  if (first === undefined) {
    throw new WeftError(
      'WEFT1903',
      `no ztunnel pod${node === undefined ? '' : ` on node ${node}`} in namespace ${istioNamespace}`,
    );
  }
  return [first, ...others];
}

function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.some((c) => c.type === 'Ready' && c.status === 'True') ?? false;
}

export const defaultAdminPort = Port.ztunnelAdmin;
