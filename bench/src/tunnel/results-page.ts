import { median, type Result } from '../result.ts';
import { describeHandshake, type Samples, type TunnelRun } from './bench.ts';
import { judge } from './goals.ts';
import { type PathName, PATHS } from './plan.ts';

export interface PageFacts {
  /** The command that repeats it. */
  readonly command: string;
  readonly rounds: number;
  readonly secondsEach: number;
  readonly threads: number;
  /** Machine and versions, in order. */
  readonly facts: Readonly<Record<string, string>>;
}

/** docs/bench-tunnel.md: goals first, then every comparison, then every path's own figures. */
export function resultsPage(results: readonly Result[], run: TunnelRun, o: PageFacts): string {
  return `# Tunnels, measured

\`${o.command}\` repeats it on one machine; [performance.md](performance.md) says how to read it. Ratios are ours ÷ peer, medians of
the rounds' ratios with their range in brackets; absolute figures don't travel. Generated: don't edit.

${Object.entries(o.facts)
  .map(([name, value]) => `${name} ${value}`)
  .join('; ')}.
Rounds: ${o.rounds}, ${o.secondsEach} s a load, ${o.threads} data threads or workers a proxy, ${minutes(run.seconds)} in all. ${quiet(run)}
Handshakes: ${handshakes(run)}.
Failed requests and connections: ${errors(run)}.

## Goals

Where one is missed, the profiles under [What dominates](performance.md#what-dominates) explain it.

| Suite | Metric | Ours | Peer | | Ratio | Goal | |
|---|---|---|---|---|---|---|---|
${results.flatMap((result) => goalRow(result)).join('\n')}

## Comparisons

\`tunnel-control\` compares no mesh with itself: what differs from 1 there is noise.

| Suite | Metric | Ours | Peer | | Ratio |
|---|---|---|---|---|---|
${results
  // A peer that never ended has its empty cell in the table of paths.
  .filter(({ peerName, ratio }) => peerName !== 'goal' && !Number.isNaN(ratio))
  .map((result) => `| ${result.suite} | ${cells(result)} |`)
  .join('\n')}

## Each path

${pathTable(run.samples)}
`;
}

function goalRow(result: Result): string[] {
  const verdict = judge(result);
  if (verdict.kind === 'none') return [];
  const mark = verdict.kind === 'reached' ? 'reached' : '**missed**';
  return [`| ${result.suite} | ${cells(result)} | ${verdict.goal} | ${mark} |`];
}

function cells({ metric, ours, peer, peerName, ratio, lowest, highest }: Result): string {
  return `${metric} | ${figure(ours)} | ${peerName} | ${figure(peer)} | ${figure(ratio)} (${figure(lowest)}–${figure(highest)})`;
}

function pathTable(samples: Samples): string {
  const paths = PATHS.filter((path) => (samples.get(path)?.size ?? 0) > 0);
  const metrics = [...new Set(paths.flatMap((path) => [...(samples.get(path)?.keys() ?? [])]))];
  const cell = (path: PathName, metric: string): string => {
    const values = samples.get(path)?.get(metric) ?? [];
    const known = values.filter((value) => !Number.isNaN(value));
    if (known.length === 0) return '';
    return `${figure(median(values))} (${figure(Math.min(...known))}–${figure(Math.max(...known))})`;
  };
  return [
    `| Metric | ${paths.join(' | ')} |`,
    `|---|${paths.map(() => '---|').join('')}`,
    ...metrics.map((metric) => `| ${metric} | ${paths.map((path) => cell(path, metric)).join(' | ')} |`),
  ].join('\n');
}

function quiet({ quiet: { checks, noisy } }: TunnelRun): string {
  return noisy === 0
    ? 'The machine was quiet before each load.'
    : `Before ${noisy} of ${checks} loads the machine never became quiet.`;
}

function handshakes({ handshakes: seen }: TunnelRun): string {
  const byKind = new Map<string, PathName[]>();
  for (const [path, handshake] of seen) {
    const kind = describeHandshake(handshake);
    byKind.set(kind, [...(byKind.get(kind) ?? []), path]);
  }
  return [...byKind].map(([kind, paths]) => `${kind} (${paths.join(', ')})`).join('; ') || 'none seen';
}

function errors({ errors: counted }: TunnelRun): string {
  return [...counted].map(([where, count]) => `${count} of ${where}`).join('; ') || 'none';
}

function minutes(seconds: number): string {
  return `${Math.round(seconds / 60)} min`;
}

/** Three significant digits, as more would be noise. */
function figure(value: number): string {
  return Number(value.toPrecision(3)).toLocaleString('en', { maximumFractionDigits: 3 });
}
