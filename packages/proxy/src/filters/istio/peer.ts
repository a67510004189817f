import {
  formatAddress,
  type SocketAddress,
  type StreamInfo,
  type WorkloadDirectory,
  type WorkloadMetadata,
} from '../../engine/types.ts';

/** Filter-state keys of the two sides' metadata. */
export const DOWNSTREAM_PEER_KEY = 'downstream_peer';
export const UPSTREAM_PEER_KEY = 'upstream_peer';
/** Filter-state keys of the identities that the HBONE connection proved. */
export const PEER_PRINCIPAL_KEY = 'io.istio.peer_principal';
export const LOCAL_PRINCIPAL_KEY = 'io.istio.local_principal';

export function peerByAddress(
  directory: WorkloadDirectory | undefined,
  address: SocketAddress,
): WorkloadMetadata | undefined {
  return address.kind === 'ip' ? directory?.byAddress(address.ip) : undefined;
}

/**
 * Who the chosen endpoint is: from the workload API by its address (behind `connect_originate`: the original
 * destination), else from the control plane's note at the endpoint, `name;namespace;canonical;revision;cluster`.
 */
export function upstreamPeer(
  info: StreamInfo,
  directory: WorkloadDirectory | undefined,
): WorkloadMetadata | undefined {
  const endpoint = info.upstream?.endpoint;
  if (endpoint === undefined) return undefined;
  const original = endpoint.metadata.get('envoy.filters.listener.original_dst')?.['local'];
  const target =
    endpoint.address.kind === 'ip'
      ? endpoint.address.ip
      : hostOf(original ?? formatAddress(endpoint.address));
  const known = target === undefined ? undefined : directory?.byAddress(target);
  return known ?? parseWorkloadNote(endpoint.metadata.get('istio')?.['workload']);
}

export function parseWorkloadNote(note: unknown): WorkloadMetadata | undefined {
  if (typeof note !== 'string' || note === '') return undefined;
  const [name, namespace, canonicalName, canonicalRevision, cluster] = note
    .split(';', 5)
    .map((part) => (part === '' ? undefined : part));
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(canonicalName === undefined ? {} : { canonicalName, app: canonicalName }),
    ...(canonicalRevision === undefined ? {} : { canonicalRevision, version: canonicalRevision }),
    ...(cluster === undefined ? {} : { cluster }),
  };
}

/** The workload of a baggage header, as HBONE clients describe themselves. Hints for metrics, never proof. */
export function parseBaggagePeer(header: string): WorkloadMetadata {
  const values = new Map(
    header
      .split(',')
      .map((member) => member.split(';', 1)[0]?.trim() ?? '')
      .map((member): [string, string] => {
        const equals = member.indexOf('=');
        return [member.slice(0, equals), safeDecode(member.slice(equals + 1))];
      }),
  );
  const first = (...keys: readonly string[]): string | undefined =>
    keys.map((k) => values.get(k)).find((v) => v);
  const fields = {
    name: first('k8s.deployment.name', 'k8s.cronjob.name', 'k8s.job.name', 'k8s.pod.name'),
    namespace: first('k8s.namespace.name'),
    cluster: first('k8s.cluster.name'),
    canonicalName: first('service.name'),
    canonicalRevision: first('service.version'),
    app: first('app.name', 'app.service', 'service.name'),
    version: first('app.version', 'service.version'),
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function hostOf(address: unknown): string | undefined {
  if (typeof address !== 'string') return undefined;
  return /^\[(.*)\]:\d+$/.exec(address)?.[1] ?? /^([^:]+):\d+$/.exec(address)?.[1];
}

function safeDecode(text: string): string {
  try {
    return decodeURIComponent(text.trim());
  } catch {
    return text.trim();
  }
}
