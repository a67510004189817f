import { Counter, Gauge, type MetricsRegistry } from '@weft/telemetry';
import type { ResponseFlag } from '../data/messages.ts';
import { trafficLabelNames, type TrafficLabels } from './traffic-labels.ts';

/**
 * Label sets of traffic that are kept; each is up to five series. A node's pods talk to hundreds of peers, but some
 * labels come from the peers' own words, and any of them may call itself by a new name with every connection.
 */
export const MAX_TRAFFIC_LABEL_SETS = 10_000;
/** Label sets that wait to be told to the counters: telling all of them takes no more than some milliseconds. */
const MAX_UNTOLD_SETS = 64;

/** Connections with the same labels. */
export interface LabelSet {
  readonly labels: TrafficLabels;
  readonly key: string;
  /** With which connections ended so far. */
  readonly flags: Set<ResponseFlag>;
  open: number;
  /** Since the counters were told last. */
  readonly untold: {
    opened: number;
    received: number;
    sent: number;
    readonly closed: Map<ResponseFlag, number>;
  };
}

/**
 * The counters of connections. To find a series by 26 labels costs a counter 10 µs, and a connection adds to five, so
 * what happened is added up here, and the counters are told when somebody asks them.
 *
 * Forgets the series of traffic that was seen longest ago. Those of open connections stay, whatever their number.
 */
export class TrafficSeries {
  private readonly openedTotal: Counter<keyof TrafficLabels>;
  private readonly closedTotal: Counter<keyof TrafficLabels>;
  private readonly failedTotal: Counter<keyof TrafficLabels>;
  private readonly receivedBytes: Counter<keyof TrafficLabels>;
  private readonly sentBytes: Counter<keyof TrafficLabels>;
  private readonly limit: number;
  /** Longest unused first. */
  private readonly sets = new Map<string, LabelSet>();
  private readonly untold = new Set<LabelSet>();
  private readonly openSockets = new Map<string, number>();

  constructor(registry: MetricsRegistry, limit = MAX_TRAFFIC_LABEL_SETS) {
    this.limit = limit;
    const registers = [registry];
    const counter = (name: string, help: string): Counter<keyof TrafficLabels> =>
      new Counter({ name, help, labelNames: trafficLabelNames, registers, collect: () => this.tell() });
    this.openedTotal = counter(
      'istio_tcp_connections_opened_total',
      'The total number of TCP connections opened',
    );
    this.closedTotal = counter(
      'istio_tcp_connections_closed_total',
      'The total number of TCP connections closed',
    );
    this.failedTotal = counter(
      'istio_tcp_connections_failed_total',
      'The total number of TCP connections that failed',
    );
    this.receivedBytes = counter(
      'istio_tcp_received_bytes_total',
      'The size of total bytes received from downstream',
    );
    this.sentBytes = counter('istio_tcp_sent_bytes_total', 'The size of total bytes sent to downstream');
    const gauge: Gauge<'reporter'> = new Gauge({
      name: 'istio_tcp_sockets_open',
      help: 'The number of open connections',
      labelNames: ['reporter'],
      registers,
      collect: () => {
        for (const [reporter, open] of this.openSockets) gauge.set({ reporter }, open);
      },
    });
  }

  /** A connection opened; the others are told of it by what this returns. */
  opened(labels: TrafficLabels): LabelSet {
    const key = Object.values(labels).join('\n');
    let set = this.sets.get(key);
    if (set === undefined) {
      const untold = { opened: 0, received: 0, sent: 0, closed: new Map<ResponseFlag, number>() };
      set = { labels, key, flags: new Set(), open: 0, untold };
    } else this.sets.delete(key);
    this.sets.set(key, set);
    set.open++;
    set.untold.opened++;
    this.addOpen(labels.reporter, 1);
    this.remember(set);
    this.forgetOldest();
    return set;
  }

  moved(set: LabelSet, received: number, sent: number): void {
    set.untold.received += received;
    set.untold.sent += sent;
    this.remember(set);
  }

  closed(set: LabelSet, flag: ResponseFlag): void {
    set.open--;
    set.flags.add(flag);
    set.untold.closed.set(flag, (set.untold.closed.get(flag) ?? 0) + 1);
    this.addOpen(set.labels.reporter, -1);
    this.remember(set);
    this.forgetOldest();
  }

  private addOpen(reporter: string, change: number): void {
    this.openSockets.set(reporter, (this.openSockets.get(reporter) ?? 0) + change);
  }

  private remember(set: LabelSet): void {
    this.untold.add(set);
    if (this.untold.size >= MAX_UNTOLD_SETS) this.tell();
  }

  private tell(): void {
    for (const { labels, untold } of this.untold) {
      if (untold.opened > 0) this.openedTotal.inc(labels, untold.opened);
      if (untold.received > 0) this.receivedBytes.inc(labels, untold.received);
      if (untold.sent > 0) this.sentBytes.inc(labels, untold.sent);
      for (const [response_flags, count] of untold.closed) {
        const ended = { ...labels, response_flags };
        this.closedTotal.inc(ended, count);
        if (response_flags !== '-') this.failedTotal.inc(ended, count);
      }
      untold.opened = 0;
      untold.received = 0;
      untold.sent = 0;
      untold.closed.clear();
    }
    this.untold.clear();
  }

  private forgetOldest(): void {
    if (this.sets.size <= this.limit) return;
    for (const set of this.sets.values()) {
      if (set.open > 0) continue;
      this.sets.delete(set.key);
      this.untold.delete(set);
      for (const counter of [this.openedTotal, this.receivedBytes, this.sentBytes])
        counter.remove(set.labels);
      for (const response_flags of set.flags) {
        this.closedTotal.remove({ ...set.labels, response_flags });
        this.failedTotal.remove({ ...set.labels, response_flags });
      }
      return;
    }
  }
}
