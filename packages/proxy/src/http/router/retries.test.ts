import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import type { Cluster, Endpoint } from '../../engine/types.ts';
import { checkFields } from '../../field-support/check-fields.ts';
import { testEngine, testStream } from '../../filters/testing/stream.ts';
import { HostSets } from '../../upstream/host-sets.ts';
import { spec } from '../../upstream/testing/endpoint-spec.ts';
import { compileRetryPolicy } from '../route/retry-policy.ts';
import { Retries } from './retries.ts';

const TYPE = 'envoy.config.route.v3.RetryPolicy';
const PRIORITIES =
  'type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig';
const previous = (update_frequency: number): object => ({
  retry_priority: { name: 'p', typed_config: { '@type': PRIORITIES, update_frequency } },
});

function policyOf(json: object) {
  const bytes = envoyFromJson(TYPE, json);
  checkFields(TYPE, bytes, { resource: 'r' });
  return compileRetryPolicy(envoy.config.route.v3.RetryPolicy.decode(bytes));
}

function retries(json: object, allowed = true) {
  const engine = testEngine();
  const info = testStream();
  let claimed = 0;
  const cluster = {
    stats: engine.stats.scope('cluster.c'),
    breakers: {
      tryRetry: () => {
        if (allowed) claimed++;
        return allowed;
      },
      releaseRetry: () => claimed--,
    },
  } as unknown as Cluster; // nothing else is asked
  const made = new Retries({ host: { engine, info }, policy: policyOf(json), cluster, priority: 'default' });
  return { made, info, claimed: () => claimed };
}
const endpoint = (priority: number): Endpoint => ({ priority }) as Endpoint; // nothing else is asked

describe('the retries of a request', () => {
  it('are as many as the policy says, then URX', () => {
    const { made, info } = retries({ num_retries: 2 });
    expect([1, 2, 3].map(() => made.claim(endpoint(0)))).toEqual([true, true, false]);
    expect([made.count, made.left, [...info.responseFlags]]).toEqual([2, 0, ['URX']]);
  });

  it('are none beyond what the cluster allows: UO', () => {
    const { made, info } = retries({ num_retries: 2 }, false);
    expect([made.claim(endpoint(0)), made.count, [...info.responseFlags]]).toEqual([false, 0, ['UO']]);
  });

  it('give back what they took of the cluster, once', () => {
    const { made, claimed } = retries({ num_retries: 2 });
    made.claim(endpoint(0));
    made.release();
    made.release();
    expect(claimed()).toBe(0);
  });
});

describe('retry_priority previous_priorities', () => {
  it.each<[every: number, expected: number[][]]>([
    [1, [[0], [0, 1], [0, 1, 2]]],
    [2, [[], [0, 1], [0, 1]]],
  ])('avoids what was tried, anew every %s attempts', (every, expected) => {
    const { made } = retries({ num_retries: 5, ...previous(every) });
    const avoided = [0, 1, 2].map((priority) => {
      made.claim(endpoint(priority));
      return [...made.avoidedPriorities];
    });
    expect(avoided).toEqual(expected);
  });

  it('avoids nothing without being asked to', () => {
    const { made } = retries({ num_retries: 5 });
    made.claim(endpoint(0));
    expect(made.avoidedPriorities.size).toBe(0);
  });

  it('refuses a frequency of 0', () => {
    expect(() => policyOf(previous(0))).toThrow('update_frequency');
  });

  it.each<[avoided: number[], picked: string]>([
    [[], '10.0.0.1:80'],
    [[0], '10.0.0.2:80'],
    [[0, 1], '10.0.0.3:80'],
    // None is left: as if none were avoided.
    [[0, 1, 2], '10.0.0.1:80'],
  ])('sends the next attempt to the first priority that is not avoided: without %j', (avoided, picked) => {
    const sets = new HostSets({
      policy: { kind: 'round-robin' },
      random: () => 0.3,
      overprovisioningPercent: 140,
      panicPercent: 50,
      failTrafficOnPanic: false,
      localityWeighted: false,
    });
    sets.update([1, 2, 3].map((n) => spec(`10.0.0.${n}`, { priority: n - 1 })));
    expect(sets.pick({ avoidedPriorities: new Set(avoided) })?.key).toBe(picked);
  });
});
