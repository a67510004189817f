import { resources, type Endpoint, type EndpointSlice, type Service } from '@weft/kubernetes';
import { SERVICE_NAME } from '../controllers/endpoints.ts';
import type { ClusterView } from '../controllers/reconcile.ts';
import type { DnsRecord, RecordSource, RecordType } from './dns-server.ts';

export const TTL_SECONDS = 5;

/**
 * Names of a cluster after the Kubernetes DNS specification 1.1: Services, headless endpoints, SRV, ExternalName,
 * pods by address, and reverse names. Looked up in the present state each time; nothing is cached.
 */
export function clusterRecords(
  view: Pick<ClusterView, 'get' | 'list'>,
  o: { readonly domain: string; readonly podCidr: string },
): RecordSource {
  const suffix = o.domain.split('.').reverse();
  return (name, type) => {
    const labels = name.split('.').reverse();
    if (labels[0] === 'arpa' && labels[1] === 'in-addr') {
      return reverse(view, o.domain, name, labels.slice(2).join('.'));
    }
    if (!suffix.every((label, index) => labels[index] === label)) return undefined;
    const [kind, namespace, owner, ...rest] = labels.slice(suffix.length);
    if (kind === undefined) return [];
    if (view.get(resources.namespaces, namespace ?? '') === undefined)
      return namespace === undefined ? [] : undefined;
    if (owner === undefined) return [];
    if (kind === 'pod') return rest.length === 0 ? podRecords(name, owner) : undefined;
    if (kind !== 'svc') return undefined;
    const service = view.get(resources.services, owner, namespace);
    if (service === undefined) return undefined;
    return serviceRecords(view, o.domain, service, name, rest, type);
  };
}

/** `1-2-3-4.NAMESPACE.pod` is that address, whether or not a pod has it. */
function podRecords(name: string, label: string): readonly DnsRecord[] | undefined {
  const address = label.replaceAll('-', '.');
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(address) ? [addressRecord(name, address)] : undefined;
}

function serviceRecords(
  view: Pick<ClusterView, 'get' | 'list'>,
  domain: string,
  service: Service,
  name: string,
  rest: readonly string[],
  type: RecordType,
): readonly DnsRecord[] | undefined {
  const { externalName } = service.spec ?? {};
  if (service.spec?.type === 'ExternalName') {
    return rest.length === 0 && typeof externalName === 'string'
      ? [{ name, type: 'CNAME', ttl: TTL_SECONDS, data: externalName }]
      : undefined;
  }
  const [first, second] = rest;
  const isPortName = first?.startsWith('_') === true;
  if (isPortName && second === undefined) return []; // `_tcp.SERVICE`: exists, holds nothing
  if (isPortName) return portRecords(view, domain, service, name, second ?? '', first);
  const headless = service.spec?.clusterIP === 'None';
  if (first === undefined) {
    // Without a port name, SRV answers for every port.
    if (type === 'SRV') return portRecords(view, domain, service, name, undefined, undefined);
    const addresses = headless
      ? endpointsOf(view, service).flatMap(({ endpoint }) => endpoint.addresses)
      : (service.spec?.clusterIPs ?? []);
    return addresses.map((address) => addressRecord(name, address));
  }
  if (!headless || rest.length > 1) return undefined;
  const matching = endpointsOf(view, service).filter(({ endpoint }) => hostnameOf(endpoint) === first);
  return matching.length === 0
    ? undefined
    : matching.flatMap(({ endpoint }) => endpoint.addresses.map((address) => addressRecord(name, address)));
}

/** `_PORT._PROTOCOL.SERVICE`; each endpoint of a headless Service has a name of its own to point to. */
function portRecords(
  view: Pick<ClusterView, 'list'>,
  domain: string,
  service: Service,
  name: string,
  portLabel: string | undefined,
  protocolLabel: string | undefined,
): readonly DnsRecord[] | undefined {
  const base = `${service.metadata.name}.${service.metadata.namespace}.svc.${domain}`;
  const wanted = (port: { readonly name?: string; readonly protocol?: string }) =>
    portLabel === undefined ||
    (`_${port.name ?? ''}` === portLabel && `_${(port.protocol ?? 'TCP').toLowerCase()}` === protocolLabel);
  const srv = (port: number, target: string): DnsRecord => ({
    name,
    type: 'SRV',
    ttl: TTL_SECONDS,
    data: { priority: 0, weight: 100, port, target },
  });
  if (service.spec?.clusterIP !== 'None') {
    const ports = (service.spec?.ports ?? []).filter(wanted);
    return ports.length === 0 ? undefined : ports.map(({ port }) => srv(port, base));
  }
  const records = endpointsOf(view, service).flatMap(({ endpoint, slice }) =>
    (slice.ports ?? []).filter(wanted).map(({ port = 0 }) => srv(port, `${hostnameOf(endpoint)}.${base}`)),
  );
  return records.length === 0 ? undefined : records;
}

function reverse(
  view: Pick<ClusterView, 'list'>,
  domain: string,
  name: string,
  address: string,
): readonly DnsRecord[] | undefined {
  const pointer = (target: string): DnsRecord => ({ name, type: 'PTR', ttl: TTL_SECONDS, data: target });
  const service = view.list(resources.services).find(({ spec }) => spec?.clusterIPs?.includes(address));
  if (service !== undefined) {
    return [pointer(`${service.metadata.name}.${service.metadata.namespace}.svc.${domain}`)];
  }
  for (const slice of view.list(resources.endpointSlices)) {
    const endpoint = slice.endpoints?.find((e) => e.hostname !== undefined && e.addresses.includes(address));
    const owner = slice.metadata.labels?.[SERVICE_NAME];
    if (endpoint !== undefined && owner !== undefined) {
      return [pointer(`${hostnameOf(endpoint)}.${owner}.${slice.metadata.namespace}.svc.${domain}`)];
    }
  }
  return undefined;
}

function endpointsOf(
  view: Pick<ClusterView, 'list'>,
  service: Service,
): readonly { readonly endpoint: Endpoint; readonly slice: EndpointSlice }[] {
  return view
    .list(resources.endpointSlices, service.metadata.namespace)
    .filter(
      (slice) =>
        slice.metadata.labels?.[SERVICE_NAME] === service.metadata.name && slice.addressType === 'IPv4',
    )
    .flatMap((slice) =>
      (slice.endpoints ?? [])
        .filter((endpoint) => endpoint.conditions?.ready !== false)
        .map((endpoint) => ({ endpoint, slice })),
    );
}

function hostnameOf(endpoint: Endpoint): string {
  return endpoint.hostname ?? (endpoint.addresses[0] ?? '').replaceAll('.', '-');
}

function addressRecord(name: string, address: string): DnsRecord {
  return { name, type: address.includes(':') ? 'AAAA' : 'A', ttl: TTL_SECONDS, data: address };
}
