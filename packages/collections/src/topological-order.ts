import type { Collection } from './collection.ts';
import { DerivedCollection } from './derived.ts';
import { Index } from './collection-index.ts';

/** Inputs before outputs. Throws with the path when collections depend on each other. */
export function topologicalOrder(all: readonly DerivedCollection<unknown>[]): DerivedCollection<unknown>[] {
  const order: DerivedCollection<unknown>[] = [];
  const state = new Map<Collection<unknown>, 'visiting' | 'done'>();
  const path: string[] = [];

  const visit = (collection: Collection<unknown>): void => {
    if (!(collection instanceof DerivedCollection) || state.get(collection) === 'done') return;
    if (state.get(collection) === 'visiting') {
      const cycle = [...path.slice(path.indexOf(collection.name)), collection.name];
      throw new Error(`collections depend on each other: ${cycle.join(' -> ')}`);
    }
    state.set(collection, 'visiting');
    path.push(collection.name);
    for (const input of collection.inputs()) visit(input instanceof Index ? input.collection : input);
    path.pop();
    state.set(collection, 'done');
    order.push(collection);
  };

  for (const collection of all) visit(collection);
  return order;
}
