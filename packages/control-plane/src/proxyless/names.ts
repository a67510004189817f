import { serviceHostname } from '../ambient/services.ts';

/** A Service, by what a gRPC target names: `xds:///catalog.shop:7070`. */
export interface Target {
  readonly namespace: string;
  readonly name: string;
  readonly port: number;
}

/** Of `host:port`, where the host may be as short as it may be for a client of that namespace. */
export function parseTarget(
  target: string,
  clientNamespace: string,
  clusterDomain: string,
): Target | undefined {
  const [, host = '', digits = ''] = /^([^:]+):(\d{1,5})$/.exec(target) ?? [];
  const [name = '', namespace = clientNamespace, ...rest] = host.split('.');
  const port = Number(digits);
  if (name === '' || port === 0 || !['', 'svc', `svc.${clusterDomain}`].includes(rest.join('.')))
    return undefined;
  return { namespace, name, port };
}

/** All that parse to it, for a client of that namespace. */
export function targetsOf(
  { namespace, name, port }: Target,
  clientNamespace: string,
  clusterDomain: string,
): string[] {
  const hosts = [
    `${name}.${namespace}`,
    `${name}.${namespace}.svc`,
    serviceHostname(name, namespace, clusterDomain),
  ];
  if (namespace === clientNamespace) hosts.push(name);
  return hosts.map((host) => `${host}:${port}`);
}

/** The service and port of `outbound|port||hostname`, a cluster's name. */
export function parseCluster(cluster: string, clusterDomain: string): Target | undefined {
  const [, port = '', hostname = ''] = /^outbound\|(\d{1,5})\|\|([^|]+)$/.exec(cluster) ?? [];
  const suffix = `.svc.${clusterDomain}`;
  if (!hostname.endsWith(suffix)) return undefined;
  const [name = '', namespace = '', ...rest] = hostname.slice(0, -suffix.length).split('.');
  return name === '' || namespace === '' || rest.length > 0
    ? undefined
    : { namespace, name, port: Number(port) };
}
