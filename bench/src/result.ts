/** One measured metric: ours and a peer's, from the same run. */
export interface Result {
  readonly suite: string;
  readonly metric: string;
  readonly ours: number;
  readonly peer: number;
  readonly peerName: string;
  /** Ours divided by the peer's, with the range over the rounds. */
  readonly ratio: number;
  readonly lowest: number;
  readonly highest: number;
}

/** Medians of rounds in which ours and the peer alternated; a round that failed on either side (NaN) has no ratio. */
export function compare(
  suite: string,
  metric: string,
  peerName: string,
  ours: readonly number[],
  peer: readonly number[],
): Result {
  const ratios = ours.map((value, i) => value / (peer[i] ?? Number.NaN));
  const known = ratios.filter((ratio) => !Number.isNaN(ratio));
  return {
    suite,
    metric,
    ours: median(ours),
    peer: median(peer),
    peerName,
    ratio: median(ratios),
    lowest: Math.min(...known),
    highest: Math.max(...known),
  };
}

/** Of those that are numbers. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value)).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

/** A line of JSON for scripts, or a line for people. */
export function report(result: Result, asJson: boolean): void {
  if (asJson) process.stdout.write(`${JSON.stringify(result)}\n`);
  else {
    const { suite, metric, peerName, ours, peer, ratio, lowest, highest } = result;
    const figure = (value: number): string => value.toLocaleString('en', { maximumFractionDigits: 2 });
    process.stdout.write(
      `${suite} ${metric}: ${figure(ours)} against ${figure(peer)} of ${peerName}, ratio ${figure(ratio)} [${figure(lowest)} to ${figure(highest)}]\n`,
    );
  }
}
