import { beforeEach, describe, expect, it } from '@jest/globals';
import { createMetricsRegistry, type MetricsRegistry } from '@weft/telemetry';
import type { ResponseFlag } from '../data/messages.ts';
import { trafficLabels } from './traffic-labels.ts';
import { type LabelSet, TrafficSeries } from './traffic-series.ts';

describe('series of traffic', () => {
  let registry: MetricsRegistry;
  let series: TrafficSeries;
  const LIMIT = 2;
  beforeEach(() => {
    registry = createMetricsRegistry();
    series = new TrafficSeries(registry, LIMIT);
  });
  const open = (name: string): LabelSet =>
    series.opened(
      trafficLabels({
        reporter: 'destination',
        source: undefined,
        sourceBaggage: { workloadName: name },
        sourceIdentity: undefined,
        destination: undefined,
        destinationIdentity: undefined,
        service: undefined,
        isMutualTls: false,
      }),
    );
  const openAndClose = (name: string, flag: ResponseFlag = '-'): void => series.closed(open(name), flag);
  /** `opened a - 2`: what, whose, with which flag, and how much. */
  const told = async (): Promise<readonly string[]> =>
    [
      ...(await registry.metrics()).matchAll(
        /^istio_tcp_(?:connections_)?(\w+?)_total\{.*source_workload="([^"]*)".*response_flags="([^"]*)".*\} (\d+)$/gm,
      ),
    ].map(([, what, name, flag, value]) => `${what} ${name} ${flag} ${value}`);
  const sources = async (): Promise<readonly string[]> => [
    ...new Set((await told()).map((line) => line.split(' ')[1] ?? '')),
  ];

  it('add up what happened until they are asked, and go on from there', async () => {
    const first = open('a');
    const second = open('a');
    series.moved(first, 10, 3);
    series.moved(second, 5, 0);
    expect(await told()).toEqual(['opened a - 2', 'received_bytes a - 15', 'sent_bytes a - 3']);
    series.moved(first, 1, 1);
    series.closed(first, '-');
    series.closed(second, 'DENY');
    expect(await told()).toEqual([
      'opened a - 2',
      'closed a - 1',
      'closed a DENY 1',
      'failed a DENY 1',
      'received_bytes a - 16',
      'sent_bytes a - 4',
    ]);
  });

  it('say how many connections are open on which side', async () => {
    const first = open('a');
    open('b');
    series.closed(first, '-');
    expect(await registry.metrics()).toContain('istio_tcp_sockets_open{reporter="destination"} 1');
    openAndClose('b');
    expect(await registry.metrics()).toContain('istio_tcp_sockets_open{reporter="destination"} 1');
  });

  it('go with those that were used longest ago, of whatever outcome', async () => {
    openAndClose('a', 'DENY');
    openAndClose('b');
    expect(await sources()).toEqual(['a', 'b']);
    openAndClose('a');
    openAndClose('c');
    expect(await sources()).toEqual(['a', 'c']);
    openAndClose('d');
    expect(await sources()).toEqual(['c', 'd']);
  });

  it('of open connections stay until these are closed', async () => {
    const [, second] = ['a', 'b', 'c'].map(open);
    expect(await sources()).toEqual(['a', 'b', 'c']);
    if (second !== undefined) series.closed(second, '-');
    expect(await sources()).toEqual(['a', 'c']);
  });
});
