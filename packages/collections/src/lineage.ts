import type { Collection } from './collection.ts';
import { wholeCollection } from './dependencies.ts';
import { DerivedCollection } from './derived.ts';
import { Index } from './collection-index.ts';

/** Why an output is what it is. */
export interface LineageNode {
  readonly collection: string;
  readonly key: string;
  readonly present: boolean;
  /** The inputs that were transformed. */
  readonly from?: readonly LineageNode[];
  /** What the transformation looked at besides. */
  readonly reads?: readonly LineageRead[];
  /** Cut here because the whole answer became too large, or because the key is shown already. */
  readonly cut?: true;
}

export interface LineageRead {
  /** `collection` or `collection[index]`. */
  readonly input: string;
  /** The key, the index key, or `*` for the whole collection. */
  readonly key: string;
  readonly found: readonly LineageNode[];
}

const MAX_NODES = 1_000;

/** Walks up from an output to the sources. Every collection and key is expanded once, at most 1,000 in all. */
export function lineage(collection: Collection<unknown>, key: string): LineageNode {
  const shown = new Set<string>();

  const explain = (at: Collection<unknown>, atKey: string): LineageNode => {
    const node = { collection: at.name, key: atKey, present: at.get(atKey) !== undefined };
    const id = `${at.name}\0${atKey}`;
    if (!(at instanceof DerivedCollection)) return node;
    if (shown.has(id) || shown.size >= MAX_NODES) return { ...node, cut: true };
    shown.add(id);
    const { from, reads } = at.origins(atKey);
    return {
      ...node,
      from: from.map((origin) => explain(origin.collection, origin.key)),
      reads: reads.map(({ input: { of }, read }): LineageRead => {
        const isIndex = of instanceof Index;
        const source: Collection<unknown> = isIndex ? of.collection : of;
        const found =
          read === wholeCollection
            ? [...source.entries()].map(([k]) => k)
            : isIndex
              ? of.currentKeys(read)
              : [read];
        return {
          input: isIndex ? `${source.name}[${of.name}]` : source.name,
          key: read === wholeCollection ? '*' : read,
          found: found.filter((k) => source.get(k) !== undefined).map((k) => explain(source, k)),
        };
      }),
    };
  };

  return explain(collection, key);
}
