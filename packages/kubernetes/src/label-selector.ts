import type { LabelSelector } from './objects.ts';

/** Whether labels satisfy a selector, as the API machinery decides. An unknown operator matches nothing. */
export function matchesLabelSelector(
  selector: LabelSelector,
  labels: Readonly<Record<string, string>> = {},
): boolean {
  const { matchLabels = {}, matchExpressions = [] } = selector;
  return (
    Object.entries(matchLabels).every(([key, wanted]) => labelValue(labels, key) === wanted) &&
    matchExpressions.every(({ key, operator, values = [] }) =>
      meetsRequirement(labelValue(labels, key), operator, values),
    )
  );
}

export function labelValue(labels: Readonly<Record<string, string>>, key: string): string | undefined {
  return Object.hasOwn(labels, key) ? labels[key] : undefined;
}

export function meetsRequirement(
  actual: string | undefined,
  operator: string,
  values: readonly string[],
): boolean {
  switch (operator) {
    case 'In':
      return actual !== undefined && values.includes(actual);
    case 'NotIn':
      return actual === undefined || !values.includes(actual);
    case 'Exists':
      return actual !== undefined;
    case 'DoesNotExist':
      return actual === undefined;
    default:
      return false;
  }
}
