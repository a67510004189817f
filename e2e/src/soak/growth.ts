/** What one proxy uses at one moment. */
export interface Sample {
  readonly node: string;
  readonly rssMib: number;
  /** Heaps and buffers, without the program itself. */
  readonly anonymousMib: number;
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
  descriptors: { share: 0, least: 24 },
  sockets: { share: 0, least: 24 },
  threads: { share: 0, least: 2 },
  openConnections: { share: 0, least: 12 },
};

export interface Row {
  readonly node: string;
  readonly resource: Resource;
  readonly atRestBefore: number;
  /** Median of the second quarter of the churn: everything has been used by then. */
  readonly early: number;
  /** Median of the last quarter. */
  readonly late: number;
  readonly atRestAfter: number;
  readonly grew: boolean;
}

/** Compares medians, for a single sample may be taken right before a collection. Memory has no value at rest to return to. */
export function growth(
  before: readonly Sample[],
  during: readonly (readonly Sample[])[],
  after: readonly Sample[],
): readonly Row[] {
  return before.flatMap((rested) =>
    (Object.keys(ALLOWED) as Resource[]).map((resource) => {
      const of = (samples: readonly Sample[]): number =>
        samples.find(({ node }) => node === rested.node)?.[resource] ?? Number.NaN;
      const quarter = during.length / 4;
      const early = median(during.slice(Math.floor(quarter), Math.ceil(2 * quarter)).map(of));
      const late = median(during.slice(Math.floor(3 * quarter)).map(of));
      const { share, least } = ALLOWED[resource];
      const isMemory = resource === 'rssMib' || resource === 'anonymousMib';
      const exceeds = (value: number, base: number): boolean =>
        !(value <= base + Math.max(least, share * base));
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
