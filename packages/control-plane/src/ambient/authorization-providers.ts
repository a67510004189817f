import type { Collection, Graph } from '@weft/collections';
import type { Sources } from '../sources/sources.ts';
import { type AuthorizationProvider, providerServiceKey } from './extension-providers.ts';
import type { Mesh } from './mesh.ts';
import { serviceHostname } from './services.ts';

/** A provider that can be asked: its Service exists, and has the port. */
export interface UsableProvider {
  readonly provider: AuthorizationProvider;
  readonly service: { readonly hostname: string; readonly name: string; readonly namespace: string };
}

/** By the name by which policies ask for them. */
export function createAuthorizationProviders(
  graph: Graph,
  sources: Sources,
  { mesh, clusterDomain }: { readonly mesh: Collection<Mesh>; readonly clusterDomain: string },
): Collection<UsableProvider> {
  return graph.flatMap('authorizationProviders', {
    from: mesh,
    uses: { services: sources.services },
    transform: ({ authorizationProviders }, fetch) =>
      [...authorizationProviders.values()].flatMap((provider): (readonly [string, UsableProvider])[] => {
        const key = providerServiceKey(provider, clusterDomain);
        const found = key === undefined ? undefined : fetch.services.get(key);
        if (found?.ports.every(({ port }) => port !== provider.port) !== false) return [];
        const { name, namespace } = found;
        const hostname = serviceHostname(name, namespace, clusterDomain);
        return [[provider.name, { provider, service: { hostname, name, namespace } }]];
      }),
  });
}
