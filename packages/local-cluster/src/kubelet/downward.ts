import { WeftError } from '@weft/telemetry';
import type { Container, Pod, ResourceSelector } from './pod.ts';

/** What the downward API knows beside the pod itself. */
export interface DownwardContext {
  readonly nodeName: string;
  readonly hostIp: string;
  /** Empty before the pod has its network. */
  readonly podIps: readonly string[];
  /** What the node can give: stands in for a limit that isn't set. */
  readonly allocatable: { readonly cpu: number; readonly memoryBytes: number };
}

/**
 * The value of a `fieldRef`. Labels and annotations come by key, or all of them as a volume file shows them.
 * @throws WEFT2064 for a path that the downward API doesn't have
 */
export function fieldValue(pod: Pod, path: string, context: DownwardContext): string {
  const { metadata, spec } = pod;
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed !== null) {
    const map = keyed[1] === 'labels' ? metadata.labels : metadata.annotations;
    return map?.[keyed[2] ?? ''] ?? '';
  }
  switch (path) {
    case 'metadata.name':
      return metadata.name;
    case 'metadata.namespace':
      return metadata.namespace;
    case 'metadata.uid':
      return metadata.uid;
    case 'metadata.labels':
      return formatMap(metadata.labels ?? {});
    case 'metadata.annotations':
      return formatMap(metadata.annotations ?? {});
    case 'spec.nodeName':
      return context.nodeName;
    case 'spec.serviceAccountName':
      return spec.serviceAccountName ?? 'default';
    case 'status.hostIP':
    case 'status.hostIPs':
      return context.hostIp;
    case 'status.podIP':
      return context.podIps[0] ?? '';
    case 'status.podIPs':
      return context.podIps.join(',');
    default:
      throw new WeftError('WEFT2064', `fieldRef ${path} is not a field of the downward API`);
  }
}

/** The value of a `resourceFieldRef`, rounded up to whole divisors. */
export function resourceValue(
  pod: Pod,
  container: Container | undefined,
  selector: ResourceSelector,
  { allocatable }: DownwardContext,
): string {
  const { containerName, resource, divisor } = selector;
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])];
  const owner =
    containerName === undefined || containerName === ''
      ? container
      : all.find((c) => c.name === containerName);
  const [kind = '', name = ''] = resource.split(/\.(.*)/s);
  if (owner === undefined || (kind !== 'limits' && kind !== 'requests')) {
    throw new WeftError(
      'WEFT2064',
      `resourceFieldRef ${resource} of container ${containerName ?? ''} is not known`,
    );
  }
  const limit = owner.resources?.limits?.[name];
  const set = kind === 'limits' ? limit : owner.resources?.requests?.[name];
  const unset =
    kind === 'requests'
      ? 0
      : name === 'cpu'
        ? allocatable.cpu
        : name === 'memory'
          ? allocatable.memoryBytes
          : 0;
  const value = set === undefined ? unset : parseQuantity(set);
  const unit = divisor === undefined || divisor === '' || divisor === '0' ? 1 : parseQuantity(divisor);
  // Decimal fractions such as 0.1 / 0.001 must not round up because of their binary error.
  return String(Math.ceil(Number((value / unit).toPrecision(12))));
}

const quantityFactor: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
};

/** A Kubernetes quantity (`100m`, `1.5Gi`, `2e3`) as a number. */
export function parseQuantity(text: string): number {
  const match = /^([+-]?(?:\d+\.?\d*|\.\d+))(?:[eE]([+-]?\d+)|([numkMGTPE]i?|Ki)?)$/.exec(text);
  const factor = quantityFactor[match?.[3] ?? ''];
  if (match === null || factor === undefined) throw new WeftError('WEFT2064', `${text} is not a quantity`);
  return Number(`${match[1]}e${match[2] ?? '0'}`) * factor;
}

/** `key="value"` lines by key, the value escaped as Go's strconv.Quote does for what occurs in practice. */
function formatMap(map: Readonly<Record<string, string>>): string {
  return Object.keys(map)
    .sort()
    .map((key) => `${key}=${JSON.stringify(map[key])}`)
    .join('\n');
}
