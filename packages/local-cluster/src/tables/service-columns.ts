import {
  arrayAt,
  type JsonObject,
  numberAt,
  objectAt,
  objectsAt,
  stringAt,
  stringsAt,
} from '../schema/index.ts';
import { age, labels, orNone } from './cells.ts';
import { type Column, column, wide } from './columns.ts';

const name = column('Name', (object) => stringAt(objectAt(object, 'metadata'), 'name') ?? '');
const ageColumn = column('Age', age);
/** More than this many ports or endpoints are summed up. */
const MAX_LISTED = 3;

const serviceColumns: readonly Column[] = [
  name,
  column('Type', (service) => stringAt(objectAt(service, 'spec'), 'type') ?? ''),
  column('Cluster-IP', (service) => orNone(stringAt(objectAt(service, 'spec'), 'clusterIP'))),
  column('External-IP', externalAddress),
  column('Port(s)', servicePorts),
  ageColumn,
  wide('Selector', (service) => labels(objectAt(objectAt(service, 'spec'), 'selector'))),
];

function externalAddress(service: JsonObject): string {
  const spec = objectAt(service, 'spec');
  const external = stringsAt(spec, 'externalIPs').join(',');
  const type = stringAt(spec, 'type');
  if (type === 'ExternalName') return stringAt(spec, 'externalName') ?? '';
  if (type !== 'LoadBalancer') return orNone(external);
  const ingress = objectsAt(objectAt(objectAt(service, 'status'), 'loadBalancer'), 'ingress')
    .map((entry) => stringAt(entry, 'ip') ?? stringAt(entry, 'hostname') ?? '')
    .filter((address) => address !== '');
  const addresses = [...ingress, ...(external === '' ? [] : [external])].join(',');
  return addresses === '' ? '<pending>' : addresses;
}

function servicePorts(service: JsonObject): string {
  const ports = objectsAt(objectAt(service, 'spec'), 'ports').map((port) => {
    const nodePort = numberAt(port, 'nodePort') ?? 0;
    const number = numberAt(port, 'port') ?? 0;
    return `${number}${nodePort === 0 ? '' : `:${nodePort}`}/${stringAt(port, 'protocol') ?? 'TCP'}`;
  });
  return orNone(ports.join(','));
}

const endpointSliceColumns: readonly Column[] = [
  name,
  column('AddressType', (slice) => stringAt(slice, 'addressType') ?? ''),
  column('Ports', (slice) => summary(arrayOfPorts(slice), '<unset>')),
  column('Endpoints', (slice) =>
    summary(
      objectsAt(slice, 'endpoints').flatMap((endpoint) => [...stringsAt(endpoint, 'addresses')]),
      '<unset>',
    ),
  ),
  ageColumn,
];

function arrayOfPorts(slice: JsonObject): readonly string[] {
  return objectsAt(slice, 'ports').map((port) => {
    const number = numberAt(port, 'port');
    return number === undefined ? '*' : String(number);
  });
}

function summary(entries: readonly string[], none: string): string {
  if (entries.length === 0) return none;
  const shown = entries.slice(0, MAX_LISTED).join(',');
  return entries.length > MAX_LISTED ? `${shown} + ${entries.length - MAX_LISTED} more...` : shown;
}

const endpointsColumns: readonly Column[] = [
  name,
  column('Endpoints', (endpoints) => {
    const addresses = objectsAt(endpoints, 'subsets').flatMap((subset) =>
      objectsAt(subset, 'addresses').flatMap((address) => {
        const ip = stringAt(address, 'ip') ?? '';
        const ports = objectsAt(subset, 'ports').map((port) => `${ip}:${numberAt(port, 'port') ?? 0}`);
        return ports.length === 0 ? [ip] : ports;
      }),
    );
    return summary(addresses, '<none>');
  }),
  ageColumn,
];

const ingressColumns: readonly Column[] = [
  name,
  column('Class', (ingress) => orNone(stringAt(objectAt(ingress, 'spec'), 'ingressClassName'))),
  column('Hosts', (ingress) => {
    const hosts = objectsAt(objectAt(ingress, 'spec'), 'rules').map((rule) => stringAt(rule, 'host') ?? '*');
    return hosts.length === 0 ? '*' : hosts.join(',');
  }),
  column('Address', (ingress) =>
    objectsAt(objectAt(objectAt(ingress, 'status'), 'loadBalancer'), 'ingress')
      .map((entry) => stringAt(entry, 'ip') ?? stringAt(entry, 'hostname') ?? '')
      .join(','),
  ),
  column('Ports', (ingress) => (arrayAt(objectAt(ingress, 'spec'), 'tls').length > 0 ? '80, 443' : '80')),
  ageColumn,
];

const networkPolicyColumns: readonly Column[] = [
  name,
  column('Pod-Selector', (policy) =>
    labels(objectAt(objectAt(objectAt(policy, 'spec'), 'podSelector'), 'matchLabels')),
  ),
  ageColumn,
];

/** Columns of what makes pods reachable, by `group/Kind`. */
export const serviceKindColumns: readonly (readonly [string, readonly Column[]])[] = [
  ['/Service', serviceColumns],
  ['/Endpoints', endpointsColumns],
  ['discovery.k8s.io/EndpointSlice', endpointSliceColumns],
  ['networking.k8s.io/Ingress', ingressColumns],
  ['networking.k8s.io/NetworkPolicy', networkPolicyColumns],
];
