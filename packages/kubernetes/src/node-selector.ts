import { labelValue, meetsRequirement } from './label-selector.ts';
import type { Node } from './objects.ts';

export interface NodeSelectorRequirement {
  readonly key: string;
  readonly operator: string;
  readonly values?: readonly string[];
}
export interface NodeSelectorTerm {
  readonly matchExpressions?: readonly NodeSelectorRequirement[];
  readonly matchFields?: readonly NodeSelectorRequirement[];
}

/** Whether a node satisfies one term of a node affinity, as the scheduler decides. An empty term matches nothing. */
export function matchesNodeSelectorTerm(term: NodeSelectorTerm, { metadata }: Node): boolean {
  const { matchExpressions = [], matchFields = [] } = term;
  if (matchExpressions.length === 0 && matchFields.length === 0) return false;
  const { labels = {}, name } = metadata;
  return (
    matchExpressions.every((requirement) => meets(labelValue(labels, requirement.key), requirement)) &&
    // The only field that there is.
    matchFields.every((requirement) => requirement.key === 'metadata.name' && meets(name, requirement))
  );
}

function meets(actual: string | undefined, { operator, values = [] }: NodeSelectorRequirement): boolean {
  switch (operator) {
    case 'Gt':
      return actual !== undefined && Number(actual) > Number(values[0]);
    case 'Lt':
      return actual !== undefined && Number(actual) < Number(values[0]);
    default:
      return meetsRequirement(actual, operator, values);
  }
}
