import type { Pod } from './pod.ts';

export interface ClusterDns {
  readonly serviceIp: string;
  readonly domain: string;
}

/** The name that a pod's UTS namespace gets: its own, cut as the kernel wants it. */
export function podHostname({ metadata, spec }: Pod): string {
  const { hostname = '' } = spec;
  return (hostname === '' ? metadata.name : hostname).slice(0, 63).replace(/[-.]+$/, '');
}

/** /etc/resolv.conf by the pod's dnsPolicy and dnsConfig. `nodeFile` is the node's own. */
export function resolvConf({ metadata, spec }: Pod, cluster: ClusterDns, nodeFile: string): string {
  const { dnsPolicy = 'ClusterFirst', hostNetwork = false, dnsConfig = {} } = spec;
  const usesCluster =
    dnsPolicy === 'ClusterFirstWithHostNet' || (dnsPolicy === 'ClusterFirst' && !hostNetwork);
  const base = usesCluster
    ? {
        nameservers: [cluster.serviceIp],
        searches: [`${metadata.namespace}.svc.${cluster.domain}`, `svc.${cluster.domain}`, cluster.domain],
        options: ['ndots:5'],
      }
    : dnsPolicy === 'None'
      ? { nameservers: [], searches: [], options: [] }
      : parseResolvConf(nodeFile);
  const options = new Map(base.options.map((option) => [option.split(':')[0] ?? option, option]));
  for (const { name = '', value } of dnsConfig.options ?? []) {
    options.set(name, value === undefined || value === '' ? name : `${name}:${value}`);
  }
  const nameservers = [...new Set([...base.nameservers, ...(dnsConfig.nameservers ?? [])])];
  const searches = [...new Set([...base.searches, ...(dnsConfig.searches ?? [])])];
  return [
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(searches.length === 0 ? [] : [`search ${searches.join(' ')}`]),
    ...(options.size === 0 ? [] : [`options ${[...options.values()].join(' ')}`]),
    '',
  ].join('\n');
}

function parseResolvConf(text: string): { nameservers: string[]; searches: string[]; options: string[] } {
  const words = (keyword: string): string[] =>
    text
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter(([first]) => first === keyword)
      .flatMap(([, ...rest]) => rest);
  return { nameservers: words('nameserver'), searches: words('search'), options: words('options') };
}

/** /etc/hosts of a pod with a network of its own. */
export function hostsFile(pod: Pod, podIps: readonly string[], cluster: ClusterDns): string {
  const hostname = podHostname(pod);
  const { subdomain = '', hostAliases = [] } = pod.spec;
  const qualified =
    subdomain === '' ? [] : [`${hostname}.${subdomain}.${pod.metadata.namespace}.svc.${cluster.domain}`];
  return [
    '# Kubernetes-managed hosts file.',
    '127.0.0.1\tlocalhost',
    '::1\tlocalhost ip6-localhost ip6-loopback',
    'fe00::0\tip6-localnet',
    'fe00::0\tip6-mcastprefix',
    'fe00::1\tip6-allnodes',
    'fe00::2\tip6-allrouters',
    ...podIps.map((ip) => [ip, ...qualified, hostname].join('\t')),
    ...hostAliases.map(({ ip, hostnames = [] }) => [ip, ...hostnames].join('\t')),
    '',
  ].join('\n');
}
