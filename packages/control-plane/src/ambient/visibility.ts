import type { Labels } from '@weft/collections';
import { type LabelSelector, matchesLabelSelector } from '@weft/kubernetes';
import { list, record, wrong } from './config-fields.ts';

/** Who may see a ServiceEntry: everybody, its own namespace, or nobody. */
export type Visibility = 'PUBLIC' | 'NAMESPACE' | 'NONE';

/** MeshConfig `serviceEntryVisibility`. The first policy that matches the entry's namespace decides. */
export interface VisibilityRules {
  readonly defaultVisibility: Visibility;
  readonly policies: readonly {
    readonly visibility: Visibility;
    readonly namespaces: readonly LabelSelector[];
  }[];
}

export const everybodySees: VisibilityRules = { defaultVisibility: 'PUBLIC', policies: [] };

const visibilities: readonly string[] = ['PUBLIC', 'NAMESPACE', 'NONE'] satisfies Visibility[];
const byWidth: readonly Visibility[] = ['NONE', 'NAMESPACE', 'PUBLIC'];

/**
 * The narrower of what the mesh allows and what the entry's `exportTo` wishes. `.` (or the own namespace) and `~` are
 * what the workload API can express; any wider list counts as everybody, as in Istio's ambient mode.
 */
export function visibilityOf(
  entry: { readonly namespace: string; readonly exportTo?: readonly string[] | undefined },
  namespaceLabels: Labels,
  rules: VisibilityRules,
): Visibility {
  const ruled = rules.policies.find(({ namespaces }) =>
    namespaces.some((selector) => matchesLabelSelector(selector, namespaceLabels)),
  );
  const allowed = ruled?.visibility ?? rules.defaultVisibility;
  const wished = exported(entry.exportTo ?? [], entry.namespace);
  return byWidth.find((visibility) => visibility === allowed || visibility === wished) ?? 'PUBLIC';
}

function exported(exportTo: readonly string[], namespace: string): Visibility {
  if (exportTo.length === 0) return 'PUBLIC';
  if (exportTo.every((to) => to === '~')) return 'NONE';
  return exportTo.every((to) => to === '.' || to === namespace || to === '~') ? 'NAMESPACE' : 'PUBLIC';
}

/** @throws with the path of what is wrong */
export function parseVisibilityRules(value: unknown): VisibilityRules {
  if (value === undefined || value === null) return everybodySees;
  const at = 'serviceEntryVisibility';
  const { defaultVisibility, policies = [] } = record(value, at);
  return {
    defaultVisibility:
      defaultVisibility === undefined ? 'PUBLIC' : visibility(defaultVisibility, `${at}.defaultVisibility`),
    policies: list(policies, `${at}.policies`).map((policy, i) => {
      const path = `${at}.policies[${i}]`;
      const { visibility: given, matchingRules = [] } = record(policy, path);
      return {
        visibility: visibility(given, `${path}.visibility`),
        namespaces: list(matchingRules, `${path}.matchingRules`).map((rule, j) => {
          const selector = record(rule, `${path}.matchingRules[${j}]`)['namespaceSelector'];
          // The selector's own fields are read leniently by whoever matches: what it doesn't know matches nothing.
          return record(selector, `${path}.matchingRules[${j}].namespaceSelector`) as LabelSelector;
        }),
      };
    }),
  };
}

function visibility(value: unknown, path: string): Visibility {
  if (typeof value === 'string' && visibilities.includes(value)) return value as Visibility; // just checked
  throw wrong(path, `is none of ${visibilities.join(', ')}`);
}
