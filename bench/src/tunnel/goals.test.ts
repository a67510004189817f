import { expect, it } from '@jest/globals';
import { compare } from '../result.ts';
import { compareWithGoal, judge } from './goals.ts';

it.each([
  ['tunnel', 'rps-32', 'envoy', 130, 'reached'],
  ['tunnel', 'rps-32', 'envoy', 129, 'missed'],
  ['tunnel', 'rps-32', 'portable', 10, 'none'],
  ['tunnel', 'p99-32-ms', 'envoy', 100, 'reached'],
  ['tunnel', 'p99-32-ms', 'envoy', 101, 'missed'],
  ['tunnel', 'vcpu-1000rps', 'envoy', 66, 'missed'],
  ['tunnel-same-node', 'rps-32', 'no mesh', 37, 'reached'],
  ['tunnel-same-node', 'rps-32', 'envoy', 37, 'none'],
])('of %s, %s against %s at %d %% is %s', (suite, metric, peer, percent, expected) => {
  expect(judge(compare(suite, metric, peer, [percent], [100])).kind).toBe(expected);
});

it.each([
  [20, 95, 'reached'],
  [20, 96, 'missed'],
  [24, 120, 'reached'],
])('asks for an idle size by what Node %d itself needs: %d MiB is %s', (node, mib, expected) => {
  const [result] = compareWithGoal('tunnel', 'rss-idle-mb', [mib], node);
  expect(result).toBeDefined();
  if (result !== undefined) expect(judge(result).kind).toBe(expected);
});

it('has no verdict where nothing was asked for', () => {
  expect([...compareWithGoal('tunnel', 'rss-10000-more-mb', [1], 20)]).toEqual([]);
});
