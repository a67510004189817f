import { DEFAULT_CLUSTER_ID, DEFAULT_TRUST_DOMAIN } from '@weft/api';
import { WeftError } from '@weft/telemetry';
import { parse } from 'yaml';
import { Cidr, ipBytes, parseIp, type IpAddress } from './ip-address.ts';
import type { MeshState } from './mesh-state.ts';
import type { Match, Policy, PolicyKey, ServiceAccountMatch, StringMatch } from './policy.ts';
import {
  serviceKey,
  type GatewayAddress,
  type NetworkAddress,
  type PortMap,
  type Service,
  type ServiceKey,
  type Workload,
  type WorkloadUid,
} from './workload.ts';
import { YamlValue } from './yaml-value.ts';

const MAX_PORT = 65_535;

/**
 * Puts what LOCAL_XDS or the file of LOCAL_XDS_PATH holds into the state: workloads, services and policies as
 * /config_dump prints them, where a workload's services are a map to its ports. YAML, and so JSON too.
 * @throws WEFT1001 naming the field
 */
export function applyLocalState(state: MeshState, source: string, text: string): void {
  let document: unknown;
  try {
    document = parse(text);
  } catch (error) {
    throw new WeftError('WEFT1001', `${source} is not YAML`, { cause: error });
  }
  const root = new YamlValue(document, source);
  state.applyAddresses([
    ...root
      .at('workloads')
      .list()
      .map((value) => ({ kind: 'workload', workload: workload(value) }) as const),
    ...root
      .at('services')
      .list()
      .map((value) => ({ kind: 'service', service: service(value) }) as const),
  ]);
  state.applyPolicies(
    root
      .at('policies')
      .list()
      .map((value) => ({ kind: 'policy', policy: policy(value) }) as const),
  );
}

function workload(value: YamlValue): Workload {
  const name = value.at('name').string();
  const namespace = value.at('namespace').string();
  const tunnel = value.at('applicationTunnel');
  return {
    // Only a name by which to replace it; nothing else can within one document.
    uid: (value.at('uid').string() || `local//${namespace}/${name}`) as WorkloadUid,
    name,
    namespace,
    addresses: value
      .at('workloadIps')
      .list()
      .map((each) => each.parsed('an IP address', parseIp)),
    hostname: value.at('hostname').string(),
    network: value.at('network').string(),
    protocol: value.at('protocol').oneOf(['TCP', 'HBONE'], 'TCP'),
    trustDomain: value.at('trustDomain').string() || DEFAULT_TRUST_DOMAIN,
    serviceAccount: value.at('serviceAccount').string() || 'default',
    waypoint: gateway(value.at('waypoint')),
    networkGateway: gateway(value.at('networkGateway')),
    node: value.at('node').string(),
    canonicalName: value.at('canonicalName').string(),
    canonicalRevision: value.at('canonicalRevision').string(),
    workloadType: value.at('workloadType').oneOf(['deployment', 'cronjob', 'pod', 'job'], 'deployment'),
    workloadName: value.at('workloadName').string(),
    nativeTunnel: value.at('nativeTunnel').boolean(false),
    applicationTunnel: tunnel.isAbsent
      ? undefined
      : {
          protocol: tunnel.at('protocol').oneOf(['NONE', 'PROXY'], 'NONE'),
          port: tunnel.at('port').integer(0, MAX_PORT),
        },
    services: new Map(
      value
        .at('services')
        .entries()
        .map(([key, of]) => [key as ServiceKey, ports(of)]), // as the services name themselves
    ),
    authorizationPolicies: value
      .at('authorizationPolicies')
      .list()
      .map((each) => each.string()),
    isHealthy: value.at('status').oneOf(['Healthy', 'Unhealthy'], 'Healthy') === 'Healthy',
    clusterId: value.at('clusterId').string() || DEFAULT_CLUSTER_ID,
    locality: {
      region: value.at('locality').at('region').string(),
      zone: value.at('locality').at('zone').string(),
      subzone: value.at('locality').at('subzone').string(),
    },
    networkMode: value.at('networkMode').oneOf(['Standard', 'HostNetwork'], 'Standard'),
    capacity: value.at('capacity').integer(1, 2 ** 32 - 1),
  };
}

function service(value: YamlValue): Service {
  const namespace = value.at('namespace').string();
  const hostname = value.at('hostname').string();
  const balancer = value.at('loadBalancer');
  const families = value.at('ipFamilies');
  return {
    key: serviceKey(namespace, hostname),
    name: value.at('name').string(),
    namespace,
    hostname,
    vips: value
      .at('vips')
      .list()
      .map((each) => each.parsed('network/address', networkAddress)),
    cidrVips: value
      .at('cidrVips')
      .list()
      .map((each) => ({
        network: each.at('network').string(),
        cidr: each.at('cidr').parsed('a prefix', cidr),
      })),
    ports: ports(value.at('ports')),
    subjectAltNames: value
      .at('subjectAltNames')
      .list()
      .map((each) => each.string()),
    waypoint: gateway(value.at('waypoint')),
    weightedWaypoints: value
      .at('weightedWaypoints')
      .list()
      .map((each) => {
        const destination = gateway(each);
        if (destination === undefined) throw each.expected('a waypoint');
        return { destination, weight: each.at('weight').integer(0, 2 ** 32 - 1) };
      }),
    loadBalancer: balancer.isAbsent
      ? undefined
      : {
          mode: balancer.at('mode').oneOf(['Standard', 'Strict', 'Failover', 'Passthrough'], 'Standard'),
          routingPreferences: balancer
            .at('routingPreferences')
            .list()
            .map((each) => each.oneOf(['Region', 'Zone', 'Subzone', 'Node', 'Cluster', 'Network'], 'Region')),
          healthPolicy: balancer.at('healthPolicy').oneOf(['OnlyHealthy', 'AllowAll'], 'OnlyHealthy'),
        },
    ipFamilies: families.isAbsent ? undefined : families.oneOf(['IPv4', 'IPv6', 'Dual'], 'Dual'),
    canonical: value.at('canonical').boolean(false),
    visibility: value.at('visibility').oneOf(['Public', 'Namespace'], 'Public'),
    requiresWaypoint: false,
  };
}

function policy(value: YamlValue): Policy {
  const name = value.at('name').string();
  const namespace = value.at('namespace').string();
  return {
    key: `${namespace}/${name}` as PolicyKey, // as in policy-message.ts
    name,
    namespace,
    scope: value.at('scope').oneOf(['Global', 'Namespace', 'WorkloadSelector'], 'Global'),
    action: value.at('action').oneOf(['Allow', 'Deny'], 'Allow'),
    dryRun: value.at('dryRun').boolean(false),
    // Lists all the way: rules of clauses of matches.
    rules: value
      .at('rules')
      .list()
      .map((rule) => ({
        clauses: rule.list().map((clause) => ({ matches: clause.list().map(match) })),
      })),
  };
}

function match(value: YamlValue): Match {
  const strings = (field: string): StringMatch[] => value.at(field).list().map(stringMatch);
  const cidrs = (field: string): Cidr[] =>
    value
      .at(field)
      .list()
      .map((each) => each.parsed('a prefix', cidr));
  const numbers = (field: string): number[] =>
    value
      .at(field)
      .list()
      .map((each) => each.integer(0, MAX_PORT));
  const accounts = (field: string): ServiceAccountMatch[] =>
    value
      .at(field)
      .list()
      .map((each) => ({
        namespace: each.at('namespace').string(),
        serviceAccount: each.at('serviceAccount').string(),
      }));
  const found: Match = {
    namespaces: strings('namespaces'),
    notNamespaces: strings('notNamespaces'),
    principals: strings('principals'),
    notPrincipals: strings('notPrincipals'),
    serviceAccounts: accounts('serviceAccounts'),
    notServiceAccounts: accounts('notServiceAccounts'),
    sourceIps: cidrs('sourceIps'),
    notSourceIps: cidrs('notSourceIps'),
    destinationIps: cidrs('destinationIps'),
    notDestinationIps: cidrs('notDestinationIps'),
    destinationPorts: numbers('destinationPorts'),
    notDestinationPorts: numbers('notDestinationPorts'),
  };
  // A condition that isn't understood would make the policy mean something else.
  for (const [field, of] of value.entries()) if (!(field in found)) throw of.expected('no such field');
  return found;
}

/** `{ Exact: a }`; upper or lower case, as both are seen. */
function stringMatch(value: YamlValue): StringMatch {
  for (const [field, of] of value.entries()) {
    const kind = field.toLowerCase();
    if (kind === 'exact' || kind === 'prefix' || kind === 'suffix') return { kind, value: of.string() };
    if (kind === 'presence') return { kind };
  }
  throw value.expected('Exact, Prefix, Suffix or Presence');
}

function gateway(value: YamlValue): GatewayAddress | undefined {
  if (value.isAbsent) return undefined;
  const hboneMtlsPort = value.at('hboneMtlsPort').integer(0, MAX_PORT);
  const destination = value
    .at('destination')
    .parsed<GatewayAddress['destination']>('network/address or namespace/hostname', (text) => {
      const address = networkAddress(text);
      if (address !== undefined) return { kind: 'address', address };
      const [namespace = '', hostname = ''] = text.split('/');
      return namespace === '' || hostname === ''
        ? undefined
        : { kind: 'hostname', key: serviceKey(namespace, hostname) };
    });
  return { destination, hboneMtlsPort };
}

function networkAddress(text: string): NetworkAddress | undefined {
  const slash = text.indexOf('/');
  const ip: IpAddress | undefined = slash < 0 ? undefined : parseIp(text.slice(slash + 1));
  return ip && { network: text.slice(0, slash), ip };
}

function cidr(text: string): Cidr | undefined {
  const [address = '', digits = ''] = text.split('/');
  const ip = parseIp(address);
  if (ip === undefined || !/^\d{1,3}$/.test(digits)) return undefined;
  const bytes = ipBytes(ip);
  return Number(digits) > 8 * bytes.length ? undefined : new Cidr(bytes, Number(digits));
}

function ports(value: YamlValue): PortMap {
  return new Map(value.entries().map(([port, target]) => [Number(port), target.integer(0, MAX_PORT)]));
}
