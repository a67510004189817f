/** What is measured on which paths, and which of the results are compared. */

export const PATHS = [
  'weft',
  'portable',
  'envoy',
  'nginx',
  'no mesh',
  'no mesh again',
  'same node',
  'many rules',
  'waypoint',
  'envoy waypoint',
] as const;
export type PathName = (typeof PATHS)[number];

export type MeasurementName =
  | 'bulk-fwd'
  | 'bulk-rev'
  | 'requests-1'
  | 'requests-32'
  | 'requests-256'
  | 'new-connections'
  | 'paced'
  | 'noisy'
  | 'stalled'
  | 'slow-reader'
  | 'memory'
  | 'pods';

export interface Item {
  readonly measurement: MeasurementName;
  readonly paths: readonly PathName[];
  /** Of one path: how long it takes when a load runs for so many seconds. For the forecast alone. */
  readonly takesSeconds: (seconds: number) => number;
}

const tunnels: readonly PathName[] = ['weft', 'envoy', 'portable', 'nginx', 'no mesh', 'same node'];
const waypoints: readonly PathName[] = ['waypoint', 'envoy waypoint'];
const owned: readonly PathName[] = ['weft', 'envoy', 'portable'];

export const PLAN: readonly Item[] = [
  { measurement: 'bulk-fwd', paths: [...tunnels, 'no mesh again'], takesSeconds: (s) => s },
  { measurement: 'bulk-rev', paths: tunnels, takesSeconds: (s) => s },
  { measurement: 'requests-1', paths: [...tunnels, ...waypoints], takesSeconds: (s) => s },
  {
    measurement: 'requests-32',
    paths: [...tunnels, ...waypoints, 'many rules', 'no mesh again'],
    takesSeconds: (s) => s,
  },
  { measurement: 'requests-256', paths: [...tunnels, ...waypoints], takesSeconds: (s) => s },
  { measurement: 'new-connections', paths: [...tunnels, 'many rules'], takesSeconds: (s) => s },
  {
    measurement: 'paced',
    paths: ['weft', 'envoy', 'portable', 'nginx', 'no mesh', ...waypoints],
    takesSeconds: (s) => s,
  },
  { measurement: 'noisy', paths: ['weft', 'no mesh'], takesSeconds: (s) => 2 * s + 3 },
  { measurement: 'stalled', paths: owned, takesSeconds: () => 4 },
  // These restart what they measure, which is cold then: they come last.
  { measurement: 'slow-reader', paths: owned, takesSeconds: (s) => 2 * s + 3 },
  { measurement: 'memory', paths: owned, takesSeconds: () => 29 },
  { measurement: 'pods', paths: ['weft'], takesSeconds: () => 40 },
];

/** Of the loads that make a new path warm; its first requests are a measurement of their own. */
export const COLD_SECONDS = 2;
const WARM_LOADS = 3;
const START_SECONDS = 3;
/** Of each step, beside its load: the quiet check, and starting a load tool. */
const OVERHEAD_SECONDS = 0.7;

/** Before the first round, for each path alike: a load of requests for so long, and one of bytes for a third of that. */
export function warmSeconds(seconds: number): number {
  return WARM_LOADS * seconds;
}

export function forecastStart(seconds: number): number {
  return START_SECONDS + COLD_SECONDS + warmSeconds(seconds) + seconds;
}

/** One measurement of one path. */
export function forecastMeasurement(item: Item, seconds: number): number {
  return item.takesSeconds(seconds) + OVERHEAD_SECONDS;
}

export function forecastRun(
  plan: readonly Item[],
  o: { readonly paths: number; readonly rounds: number; readonly seconds: number },
): number {
  const rounds = plan.map((item) => item.paths.length * o.rounds * forecastMeasurement(item, o.seconds));
  return rounds.reduce((a, b) => a + b, o.paths * forecastStart(o.seconds));
}

export interface Comparison {
  readonly suite: string;
  readonly ours: PathName;
  readonly peers: readonly PathName[];
}

/** Results of one path beside others'; a metric is compared where both have it. */
export const COMPARISONS: readonly Comparison[] = [
  { suite: 'tunnel', ours: 'weft', peers: ['envoy', 'portable', 'nginx', 'no mesh'] },
  { suite: 'tunnel-same-node', ours: 'same node', peers: ['no mesh'] },
  { suite: 'tunnel-many-rules', ours: 'many rules', peers: ['weft'] },
  { suite: 'tunnel-waypoint', ours: 'waypoint', peers: ['envoy waypoint', 'weft'] },
  // Nothing but noise and faults of the measurement itself.
  { suite: 'tunnel-control', ours: 'no mesh again', peers: ['no mesh'] },
];
