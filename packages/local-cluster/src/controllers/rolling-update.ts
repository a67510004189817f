import { scaledValue } from './objects.ts';

/** What a rolling update knows about one ReplicaSet. */
export interface ReplicaSetState {
  readonly name: string;
  readonly wanted: number;
  readonly available: number;
}

export interface RollingUpdateInput {
  readonly desired: number;
  readonly maxSurge: unknown;
  readonly maxUnavailable: unknown;
  readonly current: ReplicaSetState;
  /** Oldest first. */
  readonly old: readonly ReplicaSetState[];
}

/**
 * The next size of each ReplicaSet of a Deployment. At no time are there more than `desired + maxSurge` pods, nor
 * by its own doing fewer than `desired - maxUnavailable` available ones.
 * @returns only the sizes that change
 */
export function nextSizes(input: RollingUpdateInput): ReadonlyMap<string, number> {
  const { desired, current, old } = input;
  const sizes = new Map<string, number>();
  const { surge, unavailable } = resolveBounds(input);

  const total = current.wanted + sum(old.map(({ wanted }) => wanted));
  let grown = current.wanted;
  if (current.wanted > desired) grown = desired;
  else if (current.wanted < desired) {
    grown += Math.max(0, Math.min(desired + surge - total, desired - current.wanted));
  }
  if (grown !== current.wanted) sizes.set(current.name, grown);

  const minAvailable = desired - unavailable;
  // New pods that aren't available yet may not be counted on: old ones stay for them.
  const currentUnavailable = current.wanted - current.available;
  let budget = total - minAvailable - currentUnavailable;
  if (budget <= 0) return sizes;
  const wanted = new Map(old.map((set) => [set.name, set.wanted]));
  const shrink = (set: ReplicaSetState, by: number) => {
    wanted.set(set.name, (wanted.get(set.name) ?? 0) - by);
    budget -= by;
  };

  // Broken old pods first: they serve nobody, so removing them costs no availability.
  for (const set of old) shrink(set, Math.min(budget, Math.max(0, set.wanted - set.available)));

  let spare = current.available + sum(old.map(({ available }) => available)) - minAvailable;
  for (const set of old) {
    const by = Math.max(0, Math.min(spare, budget, wanted.get(set.name) ?? 0));
    shrink(set, by);
    spare -= by;
  }
  for (const set of old) {
    const size = wanted.get(set.name) ?? set.wanted;
    if (size !== set.wanted) sizes.set(set.name, size);
  }
  return sizes;
}

/** Percentages of the desired count, surge rounded up, unavailable down; never both 0, which couldn't progress. */
function resolveBounds(input: RollingUpdateInput): { readonly surge: number; readonly unavailable: number } {
  const surge = scaledValue(input.maxSurge, input.desired, 'up', '25%');
  const unavailable = scaledValue(input.maxUnavailable, input.desired, 'down', '25%');
  return { surge, unavailable: surge === 0 && unavailable === 0 ? 1 : Math.min(unavailable, input.desired) };
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
