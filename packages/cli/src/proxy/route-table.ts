import { envoy } from '@weft/api/envoy';
import { table } from '../output.ts';
import { unpack, type RoutesDump } from './admin-dump.ts';
import { configName } from './cluster-table.ts';
import { routeMatch } from './listener-table.ts';

const { RouteConfiguration } = envoy.config.route.v3;
type RouteConfiguration = envoy.config.route.v3.RouteConfiguration;

export function routesOf(
  dump: RoutesDump | undefined,
  name: string | undefined,
): readonly RouteConfiguration[] {
  return [...(dump?.staticRouteConfigs ?? []), ...(dump?.dynamicRouteConfigs ?? [])]
    .flatMap(({ routeConfig }) => unpack(routeConfig, RouteConfiguration) ?? [])
    .filter((config) => name === undefined || config.name === name)
    .sort((a, b) => a.name.localeCompare(b.name));
}

export function routeTable(configs: readonly RouteConfiguration[]): string {
  return table(
    ['NAME', 'VHOST NAME', 'DOMAINS', 'MATCH', 'VIRTUAL SERVICE'],
    configs.flatMap((config) =>
      (config.virtualHosts ?? []).flatMap(({ name, domains, routes }) =>
        (routes ?? []).map((route) => [
          config.name,
          name ?? '',
          shortDomains(domains ?? []),
          routeMatch(route.match),
          configName(route.metadata),
        ]),
      ),
    ),
  );
}

function shortDomains(domains: readonly string[]): string {
  const [first = '*'] = domains;
  return domains.length > 1 ? `${first} + ${domains.length - 1} more...` : first;
}
