/** What one proxy uses at one moment. */
export interface Sample {
  readonly node: string;
  readonly rssMib: number;
  /** Heaps and buffers, without the program itself. */
  readonly anonymousMib: number;
  /** What was alive in the V8 heaps of all threads at their last full collections. */
  readonly heapMib: number;
  readonly descriptors: number;
  readonly sockets: number;
  readonly threads: number;
  readonly openConnections: number;
}

export type Resource = Exclude<keyof Sample, 'node'>;

/** How much more a resource may be at the end of the churn than in its first half, and at rest than before. */
const ALLOWED: Readonly<Record<Resource, { readonly share: number; readonly least: number }>> = {
  rssMib: { share: 0.15, least: 20 },
  anonymousMib: { share: 0.2, least: 20 },
  // Interned strings alone may come to 10 MB, and a heap that was not collected yet counts as empty.
  heapMib: { share: 0.2, least: 12 },
  descriptors: { share: 0, least: 24 },
  sockets: { share: 0, least: 24 },
  threads: { share: 0, least: 2 },
  openConnections: { share: 0, least: 12 },
};

export interface Row {
  readonly node: string;
  readonly resource: Resource;
  readonly atRestBefore: number;
  /** In the second quarter of the churn: everything has been used by then. Of memory the least, else the median. */
  readonly early: number;
  /** The same in the last quarter. */
  readonly late: number;
  readonly atRestAfter: number;
  readonly grew: boolean;
}

/**
 * Compares quarters of the churn. Memory goes up and down by a third with collections, and more on a busy machine; what
 * leaks is what it doesn't come down from any more. It has no value at rest to return to.
 *
 * @param slack more of it for memory, in a run that is too short to warm up
 */
export function growth(
  before: readonly Sample[],
  during: readonly (readonly Sample[])[],
  after: readonly Sample[],
  slack = 1,
): readonly Row[] {
  return before.flatMap((rested) =>
    (Object.keys(ALLOWED) as Resource[]).map((resource) => {
      const of = (samples: readonly Sample[]): number =>
        samples.find(({ node }) => node === rested.node)?.[resource] ?? Number.NaN;
      const quarter = during.length / 4;
      const { share, least } = ALLOWED[resource];
      const isMemory = resource.endsWith('Mib');
      const level = (samples: readonly (readonly Sample[])[]): number =>
        isMemory ? lowest(samples.map(of)) : median(samples.map(of));
      const early = level(during.slice(Math.floor(quarter), Math.ceil(2 * quarter)));
      const late = level(during.slice(Math.floor(3 * quarter)));
      const exceeds = (value: number, base: number): boolean =>
        !(value <= base + Math.max(least, share * base) * (isMemory ? slack : 1));
      const grew = exceeds(late, early) || (!isMemory && exceeds(of(after), rested[resource]));
      return {
        node: rested.node,
        resource,
        atRestBefore: rested[resource],
        early,
        late,
        atRestAfter: of(after),
        grew,
      };
    }),
  );
}

/** NaN for nothing, so that it counts as growth. */
function lowest(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : Math.min(...values);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = (sorted.length - 1) / 2;
  return ((sorted[Math.floor(middle)] ?? Number.NaN) + (sorted[Math.ceil(middle)] ?? Number.NaN)) / 2;
}

/** A Markdown table. */
export function growthTable(rows: readonly Row[]): string {
  const cell = (value: number): string => value.toFixed(Number.isInteger(value) ? 0 : 1);
  return [
    '| Node | Resource | At rest before | Early | Late | At rest after | |',
    '|---|---|---|---|---|---|---|',
    ...rows.map(
      (r) =>
        `| ${r.node} | ${r.resource} | ${cell(r.atRestBefore)} | ${cell(r.early)} | ${cell(r.late)} | ${cell(r.atRestAfter)} | ${r.grew ? 'grew' : 'ok'} |`,
    ),
  ].join('\n');
}
