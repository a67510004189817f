import { isDeepStrictEqual } from 'node:util';
import { matchesLabelSelector, resources, type KubernetesObject, type LabelSelector } from '@weft/kubernetes';
import { isOf, nothing, type Controller } from './reconcile.ts';

interface ClusterRole extends KubernetesObject {
  readonly rules?: readonly unknown[] | null;
  readonly aggregationRule?: { readonly clusterRoleSelectors?: readonly LabelSelector[] };
}

/** Fills ClusterRoles that have an `aggregationRule` with the rules of those it selects. */
export const clusterRoleAggregationController: Controller = {
  name: 'cluster-role-aggregation',

  keysFor(change, view) {
    if (!isOf(change, resources.clusterRoles)) return [];
    return view
      .list(resources.clusterRoles)
      .filter((role: ClusterRole) => role.aggregationRule !== undefined)
      .map((role) => role.metadata.name ?? '');
  },

  reconcile(name, view) {
    const role: ClusterRole | undefined = view.get(resources.clusterRoles, name);
    const selectors = role?.aggregationRule?.clusterRoleSelectors;
    if (role === undefined || selectors === undefined) return nothing;
    const selected: readonly ClusterRole[] = view
      .list(resources.clusterRoles)
      .filter((other) => other.metadata.name !== name)
      .filter((other) => selectors.some((selector) => matchesLabelSelector(selector, other.metadata.labels)));
    const rules: unknown[] = [];
    for (const rule of [...selected].sort(byName).flatMap((other) => other.rules ?? [])) {
      if (!rules.some((known) => isDeepStrictEqual(known, rule))) rules.push(rule);
    }
    if (isDeepStrictEqual(role.rules ?? [], rules)) return nothing;
    return { writes: [{ kind: 'patch', type: resources.clusterRoles, name, patch: { rules } }] };
  },
};

function byName(a: KubernetesObject, b: KubernetesObject): number {
  return (a.metadata.name ?? '') < (b.metadata.name ?? '') ? -1 : 1;
}
