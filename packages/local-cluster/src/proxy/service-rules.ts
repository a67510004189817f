import type { EndpointSlice, Service, ServicePort } from '@weft/kubernetes';
import { SERVICE_NAME } from '../controllers/endpoints.ts';
import { ingressOf } from '../controllers/load-balancer.ts';

export interface ProxyNode {
  readonly nodeName: string;
  /** All pods of the cluster: their addresses are kept as source. */
  readonly podCidr: string;
  readonly serviceCidr: string;
}

export const TABLE = 'weft-services';
/** Bits of the packet mark that say "masquerade"; the mesh uses others (0x111/0xfff, 0x539). */
export const MASQUERADE_MARK = 0x4000;

/** One port of a Service with the endpoints that this node sends its connections to. */
interface PortPlan {
  readonly chain: string;
  readonly protocol: string;
  readonly endpoints: readonly string[];
  readonly sticky: boolean;
  /** `address . protocol . port` keys of the verdict map. */
  readonly addresses: readonly string[];
  readonly nodePort: number | undefined;
}

/**
 * The whole nftables ruleset of one node as a script that replaces the previous one atomically:
 *
 *     prerouting, output ─▶ services ─▶ service/NS/NAME/… ─▶ endpoint/IP/PORT/… ─▶ DNAT
 *
 * What is still addressed to a Service afterwards has no endpoint, or no such port, and is refused.
 */
export function serviceRules(
  services: readonly Service[],
  slices: readonly EndpointSlice[],
  node: ProxyNode,
): string {
  const plans = services.flatMap((service) => planPorts(service, slices, node)).sort(byChain);
  const served = plans.filter(({ endpoints }) => endpoints.length > 0);
  const endpoints = new Map(
    served.flatMap((plan) => plan.endpoints.map((ip) => [endpointChain(ip, plan), { ip, plan }])),
  );
  const byAddress = served.flatMap((plan) =>
    plan.addresses.map((address) => `${address} : goto ${plan.chain}`),
  );
  const byNodePort = served.flatMap(({ nodePort, protocol, chain }) =>
    nodePort === undefined ? [] : [`${protocol} . ${nodePort} : goto ${chain}`],
  );
  const virtual = [node.serviceCidr, ...new Set(services.flatMap(ingressOf))].sort().join(', ');
  const mark = `0x${MASQUERADE_MARK.toString(16)}`;
  return [
    // The first line makes the second one valid on a node that has no table yet.
    `table ip ${TABLE} {}`,
    `delete table ip ${TABLE}`,
    `table ip ${TABLE} {`,
    map('service-addresses', 'ipv4_addr . inet_proto . inet_service : verdict', byAddress),
    map('node-ports', 'inet_proto . inet_service : verdict', byNodePort),
    chain('masquerade-later', [`meta mark set meta mark or ${mark}`]),
    ...[...endpoints]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, { ip, plan }]) =>
        // A pod that reaches itself through a Service would answer itself directly, past the NAT.
        chain(name, [
          `ip saddr ${hostOf(ip)} jump masquerade-later`,
          `meta l4proto ${plan.protocol} dnat to ${ip}`,
        ]),
      ),
    ...served.map((plan) =>
      chain(plan.chain, [`ip saddr != ${node.podCidr} jump masquerade-later`, pick(plan)]),
    ),
    chain('services', [
      'ip daddr . meta l4proto . th dport vmap @service-addresses',
      'ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports',
    ]),
    chain('prerouting', ['type nat hook prerouting priority dstnat', 'jump services']),
    chain('output', ['type nat hook output priority -100', 'jump services']),
    chain('postrouting', [
      'type nat hook postrouting priority srcnat',
      `meta mark & ${mark} == 0 return`,
      `meta mark set meta mark xor ${mark}`,
      'masquerade fully-random',
    ]),
    ...['forward', 'output'].map((hook) =>
      chain(`refuse-${hook}`, [`type filter hook ${hook} priority filter`, `ip daddr { ${virtual} } reject`]),
    ),
    '}',
    '',
  ].join('\n');
}

function planPorts(service: Service, slices: readonly EndpointSlice[], node: ProxyNode): readonly PortPlan[] {
  const { spec } = service;
  const { name = '', namespace = '' } = service.metadata;
  const clusterIps = (spec?.clusterIPs ?? []).filter((ip) => ip !== 'None' && !ip.includes(':'));
  if (spec === undefined || clusterIps.length === 0) return [];
  const externalIps = Array.isArray(spec['externalIPs']) ? spec['externalIPs'].map(String) : [];
  const outside = [...externalIps, ...ingressOf(service)];
  const own = slices.filter(
    (slice) =>
      slice.addressType === 'IPv4' &&
      slice.metadata.namespace === namespace &&
      slice.metadata.labels?.[SERVICE_NAME] === name,
  );
  return (spec.ports ?? []).flatMap((port): readonly PortPlan[] => {
    const protocol = (port.protocol ?? 'TCP').toLowerCase();
    const plan = (
      side: 'internal' | 'external',
      addresses: readonly string[],
      nodePort?: number,
    ): PortPlan => {
      const local =
        (side === 'internal' ? spec.internalTrafficPolicy : spec.externalTrafficPolicy) === 'Local';
      return {
        chain: `${side === 'internal' ? 'service' : 'external'}/${namespace}/${name}/${port.port}/${protocol}`,
        protocol,
        endpoints: endpointsOf(own, port, local ? node.nodeName : undefined),
        sticky: spec['sessionAffinity'] === 'ClientIP',
        addresses: addresses.map((ip) => `${ip} . ${protocol} . ${port.port}`),
        nodePort,
      };
    };
    const exposed = outside.length > 0 || port.nodePort !== undefined;
    return [plan('internal', clusterIps), ...(exposed ? [plan('external', outside, port.nodePort)] : [])];
  });
}

/** `ip:port` of the ready endpoints; of the terminating ones that still serve when there is no other. */
function endpointsOf(
  slices: readonly EndpointSlice[],
  port: ServicePort,
  nodeName: string | undefined,
): readonly string[] {
  const ready = new Set<string>();
  const leaving = new Set<string>();
  for (const slice of slices) {
    const target = slice.ports?.find(
      (candidate) =>
        (candidate.name ?? '') === (port.name ?? '') &&
        (candidate.protocol ?? 'TCP') === (port.protocol ?? 'TCP'),
    );
    if (target?.port === undefined) continue;
    for (const { addresses, conditions, nodeName: at } of slice.endpoints ?? []) {
      if (nodeName !== undefined && at !== nodeName) continue;
      const group = conditions?.ready !== false ? ready : conditions.serving === true ? leaving : undefined;
      for (const address of addresses) group?.add(`${address}:${target.port}`);
    }
  }
  return [...(ready.size > 0 ? ready : leaving)].sort();
}

/** At random per connection, or by the client's address: sticky without a table that a reload would empty. */
function pick(plan: PortPlan): string {
  const { endpoints, sticky } = plan;
  const [only] = endpoints;
  if (endpoints.length === 1 && only !== undefined) return `goto ${endpointChain(only, plan)}`;
  const choice = sticky
    ? `jhash ip saddr mod ${endpoints.length} seed 0x1`
    : `numgen random mod ${endpoints.length}`;
  return `${choice} vmap { ${endpoints.map((ip, index) => `${index} : goto ${endpointChain(ip, plan)}`).join(', ')} }`;
}

function endpointChain(endpoint: string, { protocol }: PortPlan): string {
  return `endpoint/${endpoint.replace(':', '/')}/${protocol}`;
}

function hostOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf(':'));
}

// nft 1.0.6 wants the semicolon even before a closing brace.
function chain(name: string, rules: readonly string[]): string {
  return `  chain ${name} {\n${rules.map((rule) => `    ${rule};\n`).join('')}  }`;
}

function map(name: string, type: string, elements: readonly string[]): string {
  const lines =
    elements.length === 0 ? '' : `    elements = {\n      ${[...elements].sort().join(',\n      ')}\n    }\n`;
  return `  map ${name} {\n    type ${type};\n${lines}  }`;
}

function byChain(a: PortPlan, b: PortPlan): number {
  return a.chain < b.chain ? -1 : 1;
}
