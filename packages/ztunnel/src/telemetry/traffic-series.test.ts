import { beforeEach, describe, expect, it } from '@jest/globals';
import { Counter, createMetricsRegistry, type MetricsRegistry } from '@weft/telemetry';
import { trafficLabelNames, trafficLabels, type TrafficLabels } from './traffic-labels.ts';
import { TrafficSeries } from './traffic-series.ts';

describe('series of traffic', () => {
  let registry: MetricsRegistry;
  let counter: Counter<keyof TrafficLabels>;
  let series: TrafficSeries;
  beforeEach(() => {
    registry = createMetricsRegistry();
    counter = new Counter({ name: 'c', help: 'c', labelNames: trafficLabelNames, registers: [registry] });
    series = new TrafficSeries([counter], 2);
  });
  const labelsOf = (name: string): TrafficLabels =>
    trafficLabels({
      reporter: 'destination',
      source: undefined,
      sourceBaggage: { workloadName: name },
      sourceIdentity: undefined,
      destination: undefined,
      destinationIdentity: undefined,
      service: undefined,
      isMutualTls: false,
    });
  const opened = (name: string): void => {
    series.opened(labelsOf(name));
    counter.inc(labelsOf(name));
  };
  const closed = (name: string, response_flags: TrafficLabels['response_flags'] = '-'): void => {
    counter.inc({ ...labelsOf(name), response_flags });
    series.closed(labelsOf(name), response_flags);
  };
  const sources = async (): Promise<readonly string[]> => [
    ...new Set(
      [...(await registry.metrics()).matchAll(/source_workload="([^"]*)"/g)].map(([, name]) => name ?? ''),
    ),
  ];

  it('go with those that were used longest ago, of whatever outcome', async () => {
    opened('a');
    closed('a', 'DENY');
    opened('b');
    closed('b');
    opened('a');
    closed('a');
    opened('c');
    expect(await sources()).toEqual(['a', 'c']);
    opened('d');
    expect(await sources()).toEqual(['c', 'd']);
  });

  it('of open connections stay until these are closed', async () => {
    for (const name of ['a', 'b', 'c']) opened(name);
    expect(await sources()).toEqual(['a', 'b', 'c']);
    closed('b');
    expect(await sources()).toEqual(['a', 'c']);
  });
});
