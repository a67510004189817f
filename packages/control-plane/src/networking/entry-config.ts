import { isIP } from 'node:net';
import { parseCidr } from '../ambient/addresses.ts';
import type { EntryService } from '../ambient/entry-services.ts';
import type { ServiceEndpoint } from '../ambient/service-endpoints.ts';
import { loadAssignment } from './endpoints.ts';
import type { ServiceInput } from './service-config.ts';

/** What a waypoint does for a ServiceEntry: policies and metrics. Routes attach to Kubernetes Services. */
export function entryInput(
  service: EntryService,
  endpoints: readonly ServiceEndpoint[],
): Omit<ServiceInput, 'authorization' | 'authentication' | 'jwks' | 'provider'> {
  const { namespace, name, hostname, addresses, ports } = service;
  return {
    namespace,
    name,
    hostname,
    // What isn't an address would have the proxy refuse the whole listener.
    addresses: addresses.filter((address) => parseCidr(address) !== undefined),
    ports: ports.map(({ name: port, number, protocol, targetPort }) => ({
      name: port,
      port: number,
      targetPort: targetPort || number,
      appProtocol: protocol,
    })),
    ...(haveNames(endpoints)
      ? { named: (cluster, port) => loadAssignment(cluster, port, endpoints, { unreadyToo: false }) }
      : {}),
    routes: () => [],
    backend: () => undefined,
    mayReferTo: () => false,
  };
}

/** Endpoint discovery is for addresses: one name among them, and the proxy has to look all of them up. */
export function haveNames(endpoints: readonly ServiceEndpoint[]): boolean {
  return endpoints.some(({ address }) => isIP(address) === 0);
}
