import { compare, type Result } from '../result.ts';

/** Of a ratio to a peer. */
interface RelativeGoal {
  readonly suite: string;
  readonly metric: string;
  readonly peerName: string;
  readonly at: 'least' | 'most';
  readonly ratio: number;
}

/** Of ours alone. */
interface AbsoluteGoal {
  readonly suite: string;
  readonly metric: string;
  readonly most: number;
}

export const GOAL = 'goal';
/** What a stream may have on its way before its reader reads: memory behind a slow one is bounded by it. */
const STREAM_WINDOW_MEBIBYTES = 4;

const envoy = (metric: string, at: 'least' | 'most', ratio: number): RelativeGoal => ({
  suite: 'tunnel',
  metric,
  peerName: 'envoy',
  at,
  ratio,
});

const relative: readonly RelativeGoal[] = [
  envoy('bulk-fwd', 'least', 1),
  envoy('bulk-rev', 'least', 1),
  { suite: 'tunnel', metric: 'bulk-fwd', peerName: 'portable', at: 'least', ratio: 1.4 },
  { suite: 'tunnel', metric: 'bulk-rev', peerName: 'portable', at: 'least', ratio: 1.4 },
  envoy('rps-32', 'least', 1.3),
  envoy('rps-256', 'least', 1.2),
  envoy('p99-1-ms', 'most', 1.5),
  envoy('p99-32-ms', 'most', 1),
  envoy('p99-256-ms', 'most', 1),
  envoy('p99-1000rps-ms', 'most', 1),
  envoy('new-conn', 'least', 1.2),
  envoy('vcpu-1000rps', 'most', 0.65),
  { suite: 'tunnel-same-node', metric: 'bulk-fwd', peerName: 'no mesh', at: 'least', ratio: 0.5 },
  { suite: 'tunnel-same-node', metric: 'bulk-rev', peerName: 'no mesh', at: 'least', ratio: 0.5 },
  { suite: 'tunnel-same-node', metric: 'rps-32', peerName: 'no mesh', at: 'least', ratio: 0.37 },
];

/** @param nodeMajor whose binary alone decides much of the resident size */
function absolute(nodeMajor: number): readonly AbsoluteGoal[] {
  return [
    { suite: 'tunnel', metric: 'rss-idle-mb', most: nodeMajor < 24 ? 95 : 120 },
    { suite: 'tunnel', metric: 'rss-500-pods-mb', most: 150 },
    { suite: 'tunnel', metric: 'rss-1000-more-mb', most: 15 },
    { suite: 'tunnel', metric: 'slow-reader-more-mb', most: STREAM_WINDOW_MEBIBYTES },
    { suite: 'tunnel', metric: 'beside-stalled-ms', most: 5 },
    { suite: 'tunnel', metric: 'p99-noisy-times', most: 3 },
  ];
}

export type Verdict =
  | { readonly kind: 'none' }
  | { readonly kind: 'reached' | 'missed'; readonly goal: string };

export function judge({ suite, metric, peer, peerName, ratio }: Result): Verdict {
  if (peerName === GOAL) return { kind: ratio <= 1 ? 'reached' : 'missed', goal: `≤ ${peer}` };
  const goal = relative.find((g) => g.suite === suite && g.metric === metric && g.peerName === peerName);
  if (goal === undefined) return { kind: 'none' };
  const isReached = goal.at === 'least' ? ratio >= goal.ratio : ratio <= goal.ratio;
  return { kind: isReached ? 'reached' : 'missed', goal: `${goal.at === 'least' ? '≥' : '≤'} ${goal.ratio}` };
}

/** Ours beside a figure that was asked for: the goal is the peer. */
export function* compareWithGoal(
  suite: string,
  metric: string,
  ours: readonly number[],
  nodeMajor: number,
): Generator<Result> {
  const goal = absolute(nodeMajor).find((g) => g.suite === suite && g.metric === metric);
  if (goal === undefined) return;
  yield compare(
    suite,
    metric,
    GOAL,
    ours,
    ours.map(() => goal.most),
  );
}
