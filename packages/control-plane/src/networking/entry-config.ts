import { isIP } from 'node:net';
import { parseCidr } from '../ambient/addresses.ts';
import type { EntryService } from '../ambient/entry-services.ts';
import type { ServiceEndpoint } from '../ambient/service-endpoints.ts';
import type { EntryPort } from '../sources/entries.ts';
import type { ServicePortFacts } from '../sources/facts.ts';
import type { EndpointSource } from './clusters.ts';
import { loadAssignment } from './endpoints.ts';
import { assignmentName } from './names.ts';
import type { ServiceInput } from './service-config.ts';

/** A service that a user wrote down, as waypoints serve it: policies and routes come as for any other. */
export function entryInput(
  service: EntryService,
  endpoints: readonly ServiceEndpoint[],
): Pick<
  ServiceInput,
  'namespace' | 'name' | 'hostname' | 'addresses' | 'ports' | 'endpoints' | 'hostsNamedByClients'
> {
  const { namespace, name, hostname, addresses, ports, resolution } = service;
  return {
    namespace,
    name,
    hostname,
    // What isn't an address would have the proxy refuse the whole listener.
    addresses: addresses.filter((address) => parseCidr(address) !== undefined),
    ports: ports.map(servicePort),
    endpoints: (cluster, port) => endpointSource(service, endpoints, cluster, port),
    hostsNamedByClients: resolution === 'DYNAMIC_DNS',
  };
}

/** The port of a ServiceEntry in the terms of a Service. */
export function servicePort({ name, number, protocol, targetPort }: EntryPort): ServicePortFacts {
  return { name, port: number, targetPort: targetPort || number, appProtocol: protocol };
}

function endpointSource(
  service: EntryService,
  endpoints: readonly ServiceEndpoint[],
  cluster: string,
  port: number,
): EndpointSource {
  const { resolution, ports } = service;
  if (resolution === 'NONE') {
    const declared = ports.find(({ number }) => number === port);
    return { kind: 'original-destination', port: declared?.targetPort || undefined };
  }
  if (resolution === 'DYNAMIC_DNS') return { kind: 'named-by-client' };
  if (!needLookup(endpoints)) return { kind: 'discovery', name: assignmentName(cluster, service) };
  const rotating = resolution === 'DNS_ROUND_ROBIN' && endpoints.length === 1;
  const assignment = loadAssignment(cluster, port, endpoints, { unreadyToo: false });
  return { kind: 'dns', assignment, rotating };
}

/** Whether waypoints ask for the endpoints of the service. */
export function isDiscovered({ resolution }: EntryService, endpoints: readonly ServiceEndpoint[]): boolean {
  return resolution !== 'NONE' && resolution !== 'DYNAMIC_DNS' && !needLookup(endpoints);
}

/**
 * Endpoint discovery is for addresses: one name among them, and the proxy has to look all of them up. Tunnels can't be
 * looked up, so beside workloads of the mesh names don't count.
 */
function needLookup(endpoints: readonly ServiceEndpoint[]): boolean {
  return endpoints.some(isNamed) && !endpoints.some(({ tunneled }) => tunneled);
}

export function isNamed({ address }: ServiceEndpoint): boolean {
  return isIP(address) === 0;
}
