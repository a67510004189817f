import { formatAddress, parseCidr } from './addresses.ts';

/** `namespace/name` of the Kubernetes Service that a hostname of the cluster's domain stands for. */
export function kubernetesServiceKey(hostname: string, clusterDomain: string): string | undefined {
  const suffix = `.svc.${clusterDomain}`;
  if (!hostname.endsWith(suffix)) return undefined;
  const [name = '', namespace = '', ...rest] = hostname.slice(0, -suffix.length).split('.');
  return name === '' || name === '*' || namespace === '' || rest.length > 0
    ? undefined
    : `${namespace}/${name}`;
}

/**
 * Whether a host is, or covers, what resolvers make of names that pods of other namespaces look up: they try
 * `api.example.com.other.svc.cluster.local` and `api.example.com.svc.cluster.local` first, so that whoever has
 * `*.svc.cluster.local` would get what anybody says to anybody. The name that a Service of another namespace would have
 * is none of these: it is one Service's, which comes first where there is one.
 */
export function coversSearchDomains(hostname: string, namespace: string, clusterDomain: string): boolean {
  if (kubernetesServiceKey(hostname, clusterDomain) !== undefined) return false;
  const isWildcard = hostname.startsWith('*.');
  const domain = isWildcard ? hostname.slice(2) : hostname;
  if (isWithin(domain, `${namespace}.svc.${clusterDomain}`)) return false;
  return isWithin(domain, clusterDomain) || (isWildcard && isWithin(clusterDomain, domain));
}

function isWithin(name: string, domain: string): boolean {
  return name === domain || name.endsWith(`.${domain}`);
}

/** One address, however it is written; undefined for a range. */
export function singleAddress(text: string): string | undefined {
  const cidr = parseCidr(text);
  if (cidr === undefined || cidr.length < cidr.address.length * 8) return undefined;
  return formatAddress(cidr.address);
}
