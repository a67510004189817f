import { WeftError } from '@weft/telemetry';

/**
 * Addresses of a local cluster. Each cluster has a network namespace of its own (the "LAN"), so the numbers
 * never meet those of the machine or of another cluster.
 */
export interface NodePlan {
  readonly name: string;
  /** On the LAN bridge; the node's InternalIP. */
  readonly address: string;
  readonly podCidr: string;
  /** The node's end of the pod network, and the gateway of its pods. */
  readonly podGateway: string;
}

export interface Topology {
  readonly bridge: { readonly name: string; readonly address: string; readonly prefixLength: number };
  readonly apiServerPort: number;
  readonly clusterDomain: string;
  readonly podCidr: string;
  readonly serviceCidr: string;
  readonly kubernetesServiceIp: string;
  readonly dnsServiceIp: string;
  /** Addresses that Services of type LoadBalancer get; the LAN routes them to the first node. */
  readonly loadBalancerCidr: string;
  readonly kubeletPort: number;
  readonly nodes: readonly NodePlan[];
}

export const MAX_NODES = 16;

/** @throws WEFT2009 for a number of nodes that no cluster has */
export function planTopology(nodeCount: number): Topology {
  if (!Number.isInteger(nodeCount) || nodeCount < 1 || nodeCount > MAX_NODES) {
    throw new WeftError('WEFT2009', `a local cluster has 1 to ${MAX_NODES} nodes, not ${nodeCount}`);
  }
  return {
    bridge: { name: 'weft0', address: '172.18.0.1', prefixLength: 24 },
    apiServerPort: 6443,
    clusterDomain: 'cluster.local',
    podCidr: '10.244.0.0/16',
    serviceCidr: '10.96.0.0/16',
    kubernetesServiceIp: '10.96.0.1',
    dnsServiceIp: '10.96.0.10',
    loadBalancerCidr: '172.18.0.192/26',
    kubeletPort: 10250,
    nodes: Array.from({ length: nodeCount }, (_, index) => ({
      name: `node-${index + 1}`,
      address: `172.18.0.${index + 2}`,
      podCidr: `10.244.${index}.0/24`,
      podGateway: `10.244.${index}.1`,
    })),
  };
}

/** Commands for `ip -batch` that raise the LAN. Node links and routes follow as the nodes come up. */
export function lanCommands({ bridge }: Topology): readonly string[] {
  return [
    'link set lo up',
    `link add ${bridge.name} type bridge`,
    `addr add ${bridge.address}/${bridge.prefixLength} dev ${bridge.name}`,
    `link set ${bridge.name} up`,
  ];
}

/** Joins a node's network namespace (that of process `pid`) to the bridge; run in the LAN. */
export function nodeLinkCommands(topology: Topology, node: NodePlan, pid: number): readonly string[] {
  const { bridge } = topology;
  const isFirst = topology.nodes[0]?.name === node.name;
  return [
    `link add ${node.name} type veth peer name eth0 netns ${pid}`,
    `link set ${node.name} master ${bridge.name} up`,
    `route replace ${node.podCidr} via ${node.address}`,
    ...(isFirst ? [`route replace ${topology.loadBalancerCidr} via ${node.address}`] : []),
  ];
}

/** Run inside the node's network namespace, once its `eth0` is there. */
export function nodeInterfaceCommands(topology: Topology, node: NodePlan): readonly string[] {
  return [
    'link set lo up',
    `addr add ${node.address}/${topology.bridge.prefixLength} dev eth0`,
    'link set eth0 up',
    // Also what makes node-originated connections to Service addresses leave at all: DNAT runs after routing.
    `route add default via ${topology.bridge.address}`,
    ...topology.nodes
      .filter((other) => other.name !== node.name)
      .map((other) => `route add ${other.podCidr} via ${other.address}`),
  ];
}

/** As files under /proc/sys, all of them per network namespace. */
export const nodeSysctls: Readonly<Record<string, string>> = {
  'net/ipv4/ip_forward': '1',
  'net/ipv6/conf/all/forwarding': '1',
  // Redirected and service traffic legitimately arrives on an interface that the reverse route doesn't name.
  'net/ipv4/conf/all/rp_filter': '0',
  'net/ipv4/conf/default/rp_filter': '0',
  'net/ipv4/ip_unprivileged_port_start': '0',
  // Service connections that moved nodes mid-stream would otherwise be reset by conntrack's window check.
  'net/netfilter/nf_conntrack_tcp_be_liberal': '1',
};
