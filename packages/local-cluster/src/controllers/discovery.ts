import type { KubernetesClient, ResourceType } from '@weft/kubernetes';

interface GroupDiscoveryList {
  readonly items?: readonly {
    readonly metadata?: { readonly name?: string };
    readonly versions?: readonly {
      readonly version: string;
      readonly resources?: readonly {
        readonly resource: string;
        readonly responseKind?: { readonly kind?: string };
        readonly scope?: string;
        readonly verbs?: readonly string[];
      }[];
    }[];
  }[];
}

const ACCEPT = 'application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json';

/** Every resource that can be listed, watched and deleted, each in its group's preferred version. */
export async function discoverResources(
  client: KubernetesClient,
  signal: AbortSignal,
): Promise<readonly ResourceType[]> {
  const lists = await Promise.all(
    ['/api', '/apis'].map((path) =>
      client.request<GroupDiscoveryList>({ method: 'GET', path, accept: ACCEPT, signal }),
    ),
  );
  const found = new Map<string, ResourceType>();
  for (const group of lists.flatMap(({ items = [] }) => items)) {
    for (const { version, resources = [] } of group.versions ?? []) {
      for (const { resource, responseKind, scope, verbs = [] } of resources) {
        const type: ResourceType = {
          group: group.metadata?.name ?? '',
          version,
          plural: resource,
          kind: responseKind?.kind ?? '',
          namespaced: scope === 'Namespaced',
        };
        // Versions come in order of preference.
        if (
          ['list', 'watch', 'delete'].every((verb) => verbs.includes(verb)) &&
          !found.has(resourceId(type))
        ) {
          found.set(resourceId(type), type);
        }
      }
    }
  }
  return [...found.values()];
}

/** `pods` or `apps/deployments`: a resource in whichever version. */
export function resourceId(type: ResourceType): string {
  return type.group === '' ? type.plural : `${type.group}/${type.plural}`;
}
