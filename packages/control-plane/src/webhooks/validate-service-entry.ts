import { isIP } from 'node:net';
import { Label, NO_WAYPOINT } from '@weft/api';
import { parseCidr } from '../ambient/addresses.ts';
import { coversSearchDomains } from '../ambient/cluster-names.ts';
import type { EntryEndpoint, ServiceEntryFacts, WorkloadEntryFacts } from '../sources/entries.ts';
import { FieldChecks, type FieldError, type Verdict } from './field-errors.ts';
import { nearest } from './nearest.ts';

const resolutions = ['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS'] as const;
const protocols = ['HTTP', 'HTTPS', 'GRPC', 'GRPC-WEB', 'HTTP2', 'MONGO', 'TCP', 'TLS'] as const;
const dynamicProtocols: readonly string[] = ['HTTP', 'HTTP2', 'GRPC', 'TLS'];
/** Those by which a connection says which host it means. */
const namingProtocols: readonly string[] = ['HTTP', 'HTTP2', 'GRPC', 'GRPC-WEB', 'TLS', 'HTTPS'];
const label = '[A-Za-z0-9_]([-A-Za-z0-9_]{0,61}[A-Za-z0-9_])?';
const hostname = new RegExp(`^(\\*\\.)?${label}(\\.${label})*\\.?$`);

/** What the CRD's schema can't say about a ServiceEntry; its rules are repeated for CRDs that somebody else installed. */
export function validateServiceEntry(
  { namespace, spec: entry, labels }: ServiceEntryFacts,
  mesh: { readonly rootNamespace: string; readonly clusterDomain: string },
): Verdict {
  const errors: FieldError[] = [];
  const warnings: string[] = [];
  const spec = new FieldChecks('spec', errors);
  const { hosts = [], addresses = [], ports = [], endpoints = [], resolution = 'NONE' } = entry;
  const selects = Object.keys(entry.workloadSelector?.labels ?? {}).length > 0;

  if (hosts.length === 0) spec.at('hosts').refuse('must not be empty');
  spec.each('hosts', hosts, (host) => {
    if (host === '*') return 'must not be every host';
    if (hostname.test(host)) return undefined;
    return host.includes('*') ? 'a wildcard is *. and a domain' : `"${host}" is not a host name`;
  });
  if (!resolutions.includes(resolution)) {
    spec.at('resolution').refuse(unknownValue(resolution, resolutions));
  }
  spec.each('addresses', addresses, (address) => {
    if (parseCidr(address) === undefined) return `"${address}" is neither an IP address nor a CIDR range`;
    const isRange = address.includes('/');
    return isRange && resolution !== 'NONE' && resolution !== 'STATIC'
      ? 'a range needs resolution NONE or STATIC'
      : undefined;
  });
  checkPorts(spec, ports, warnings);
  const anonymous = ports.find((_, i) => !namingProtocols.includes(protocolsOf(ports)[i] ?? ''));
  if (hosts.length > 1 && anonymous !== undefined && resolution !== 'NONE') {
    spec
      .at('hosts')
      .refuse(
        `several hosts need HTTP or TLS on every port: nothing tells them apart on ${anonymous.number}`,
      );
  }
  if (selects && endpoints.length > 0)
    spec.at('workloadSelector').refuse('cannot be combined with endpoints');
  endpoints.forEach((endpoint, i) => {
    checkEndpoint(spec.at('endpoints').at(i), endpoint, resolution !== 'STATIC');
    checkPortNames(spec.at('endpoints').at(i).at('ports'), endpoint, ports);
  });
  switch (resolution) {
    case 'NONE':
      if (endpoints.length > 0) spec.at('endpoints').refuse('need a resolution other than NONE');
      if (selects) warnings.push('spec.workloadSelector has no effect with resolution NONE');
      break;
    case 'DNS_ROUND_ROBIN':
    case 'DNS':
      if (resolution === 'DNS_ROUND_ROBIN' && endpoints.length > 1)
        spec.at('endpoints').refuse('DNS_ROUND_ROBIN takes one endpoint at most');
      if (endpoints.length === 0 && !selects) {
        spec.each('hosts', hosts, (host) =>
          host.startsWith('*') ? `nobody can look up a wildcard: give endpoints` : undefined,
        );
      }
      break;
    case 'DYNAMIC_DNS':
      checkDynamic(spec, entry, protocolsOf(ports));
      if (entry.location === 'MESH_INTERNAL' && (labels[Label.useWaypoint] ?? NO_WAYPOINT) !== NO_WAYPOINT)
        spec.at('location').refuse('must be MESH_EXTERNAL for DYNAMIC_DNS behind a waypoint');
      warnings.push(...portsWithoutTarget(entry));
      break;
    case 'STATIC':
  }
  warnOfPorts(entry, warnings);
  hosts.forEach((host, i) => {
    if (namespace !== mesh.rootNamespace && coversSearchDomains(host, namespace, mesh.clusterDomain))
      warnings.push(
        `spec.hosts[${i}]: pods of other namespaces look up such names for any other: only ${namespace} sees it`,
      );
  });
  return { errors, warnings };
}

/** A machine outside of Kubernetes. */
export function validateWorkloadEntry({ spec: endpoint }: WorkloadEntryFacts): Verdict {
  const errors: FieldError[] = [];
  checkEndpoint(new FieldChecks('spec', errors), endpoint, true);
  return { errors, warnings: [] };
}

function checkEndpoint(at: FieldChecks, endpoint: EntryEndpoint, mayBeNamed: boolean): void {
  const { address = '', network = '', ports = {} } = endpoint;
  if (address === '') {
    if (network === '') at.at('address').refuse('is required unless network says where');
  } else if (address.startsWith('unix://')) {
    if (Object.keys(ports).length > 0) at.at('ports').refuse('a Unix socket has no ports');
  } else if (isIP(address) === 0) {
    if (!hostname.test(address) || address.startsWith('*'))
      at.at('address').refuse(`"${address}" is neither an IP address nor a host name`);
    else if (!mayBeNamed) at.at('address').refuse('must be an IP address with resolution STATIC');
  }
  for (const [name, port] of Object.entries(ports)) {
    if (!isPort(port)) at.at('ports').at(name).refuse('is not a port from 1 to 65535');
  }
}

type Ports = NonNullable<ServiceEntryFacts['spec']['ports']>;

function checkPorts(spec: FieldChecks, ports: Ports, warnings: string[]): void {
  const names = new Set<string>();
  const numbers = new Set<number>();
  ports.forEach(({ name, number, protocol = '', targetPort }, i) => {
    const at = spec.at('ports').at(i);
    if (!isPort(number)) at.at('number').refuse('is not a port from 1 to 65535');
    if (targetPort !== undefined && targetPort !== 0 && !isPort(targetPort))
      at.at('targetPort').refuse('is not a port from 1 to 65535');
    if (names.has(name)) at.at('name').refuse(`"${name}" is the name of another port`);
    if (numbers.has(number)) at.at('number').refuse(`${number} is the number of another port`);
    names.add(name);
    numbers.add(number);
    if (protocol !== '' && !protocols.some((known) => known === protocol.toUpperCase()))
      warnings.push(`spec.ports[${i}].protocol: ${unknownValue(protocol, protocols)}: it counts as TCP`);
  });
}

function checkPortNames(at: FieldChecks, endpoint: EntryEndpoint, ports: Ports): void {
  const names = ports.map(({ name }) => name);
  for (const name of Object.keys(endpoint.ports ?? {})) {
    if (names.includes(name)) continue;
    const meant = nearest(name, names);
    at.at(name).refuse(
      `no port of the entry has this name${meant === undefined ? '' : `; did you mean ${meant}?`}`,
    );
  }
}

function checkDynamic(
  spec: FieldChecks,
  { hosts = [], addresses = [], endpoints = [] }: ServiceEntryFacts['spec'],
  used: readonly string[],
): void {
  spec.each('hosts', hosts, (host) =>
    host.startsWith('*.') ? undefined : 'DYNAMIC_DNS is for hosts with a wildcard',
  );
  if (addresses.length > 0) spec.at('addresses').refuse('have no meaning with DYNAMIC_DNS');
  if (endpoints.length > 0) spec.at('endpoints').refuse('have no meaning with DYNAMIC_DNS');
  used.forEach((protocol, i) => {
    if (!dynamicProtocols.includes(protocol))
      spec
        .at('ports')
        .at(i)
        .at('protocol')
        .refuse(`must be one of ${dynamicProtocols.join(', ')}`);
  });
}

/** A request goes to the port that it names; only TLS handshakes name none. */
function portsWithoutTarget({ ports = [] }: ServiceEntryFacts['spec']): string[] {
  return ports.flatMap(({ number, targetPort, protocol = '' }, i) =>
    (targetPort || number) === number || protocol.toUpperCase() === 'TLS'
      ? []
      : [
          `spec.ports[${i}].targetPort has no effect with DYNAMIC_DNS: requests go to the port that they name`,
        ],
  );
}

function warnOfPorts(
  { addresses = [], ports = [], exportTo = [], resolution = 'NONE' }: ServiceEntryFacts['spec'],
  warnings: string[],
): void {
  const anonymous = ports.filter((_, i) => !namingProtocols.includes(protocolsOf(ports)[i] ?? ''));
  if (anonymous.length > 0 && addresses.length === 0 && resolution === 'NONE') {
    warnings.push(
      `port ${anonymous[0]?.number ?? ''} carries no host name, and the entry has no address: nothing reaches it`,
    );
  }
  const wider = exportTo.filter((to) => to !== '*' && to !== '.' && to !== '~');
  if (wider.length > 0) {
    warnings.push(`spec.exportTo: ambient mode knows ".", "*" and "~"; ${wider.join(', ')} counts as "*"`);
  }
}

function protocolsOf(ports: Ports): string[] {
  return ports.map(({ protocol = '' }) => protocol.toUpperCase());
}

function unknownValue(value: string, known: readonly string[]): string {
  const meant = nearest(value, known);
  return `"${value}" is none of ${known.join(', ')}${meant === undefined ? '' : `; did you mean ${meant}?`}`;
}

function isPort(port: number): boolean {
  return Number.isInteger(port) && port >= 1 && port <= 65_535;
}
