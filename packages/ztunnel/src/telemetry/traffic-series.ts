import { Counter, Gauge, type MetricsRegistry } from '@weft/telemetry';
import type { ResponseFlag } from '../data/messages.ts';
import { trafficLabelNames, type TrafficLabels } from './traffic-labels.ts';

/**
 * Label sets of traffic that are kept; each is up to five series. A node's pods talk to hundreds of peers, but some
 * labels come from the peers' own words, and any of them may call itself by a new name with every connection.
 */
export const MAX_TRAFFIC_LABEL_SETS = 10_000;

/** Connections with the same labels. */
export interface LabelSet {
  readonly labels: TrafficLabels;
  readonly key: string;
  /** Of connections: all, and those that are open. */
  opened: number;
  open: number;
  received: number;
  sent: number;
  /** Connections that ended, by how. */
  readonly closed: Map<ResponseFlag, number>;
}

type Value = { readonly labels: TrafficLabels; readonly value: number };

/** A counter of prom-client that reads its values when it is asked. */
class ReadCounter extends Counter<keyof TrafficLabels> {
  private readonly read: () => Iterable<Value>;

  constructor(registry: MetricsRegistry, name: string, help: string, read: () => Iterable<Value>) {
    super({ name, help, labelNames: trafficLabelNames, registers: [registry] });
    this.read = read;
  }

  override async get(): ReturnType<Counter<keyof TrafficLabels>['get']> {
    return { ...(await super.get()), values: [...this.read()] };
  }
}

/**
 * The counters of connections. prom-client would look each of a connection's five series up by 26 labels, 10 µs every
 * time, and remember the labels with every series: here they are looked up and kept once.
 *
 * Forgets the series of traffic that was seen longest ago. Those of open connections stay, whatever their number.
 */
export class TrafficSeries {
  private readonly limit: number;
  /** Longest unused first. */
  private readonly sets = new Map<string, LabelSet>();
  private readonly openSockets = new Map<string, number>();

  constructor(registry: MetricsRegistry, limit = MAX_TRAFFIC_LABEL_SETS) {
    this.limit = limit;
    new ReadCounter(
      registry,
      'istio_tcp_connections_opened_total',
      'The total number of TCP connections opened',
      () => this.sums(({ opened }) => opened),
    );
    new ReadCounter(
      registry,
      'istio_tcp_connections_closed_total',
      'The total number of TCP connections closed',
      () => this.ends(() => true),
    );
    new ReadCounter(
      registry,
      'istio_tcp_connections_failed_total',
      'The total number of TCP connections that failed',
      () => this.ends((flag) => flag !== '-'),
    );
    new ReadCounter(
      registry,
      'istio_tcp_received_bytes_total',
      'The size of total bytes received from downstream',
      () => this.sums(({ received }) => received),
    );
    new ReadCounter(
      registry,
      'istio_tcp_sent_bytes_total',
      'The size of total bytes sent to downstream',
      () => this.sums(({ sent }) => sent),
    );
    const gauge: Gauge<'reporter'> = new Gauge({
      name: 'istio_tcp_sockets_open',
      help: 'The number of open connections',
      labelNames: ['reporter'],
      registers: [registry],
      collect: () => {
        for (const [reporter, open] of this.openSockets) gauge.set({ reporter }, open);
      },
    });
  }

  /** A connection opened; the others are told of it by what this returns. */
  opened(labels: TrafficLabels): LabelSet {
    const key = Object.values(labels).join('\n');
    let set = this.sets.get(key);
    if (set === undefined) set = { labels, key, opened: 0, open: 0, received: 0, sent: 0, closed: new Map() };
    else this.sets.delete(key);
    this.sets.set(key, set);
    set.opened++;
    set.open++;
    this.addOpen(labels.reporter, 1);
    this.forgetOldest();
    return set;
  }

  moved(set: LabelSet, received: number, sent: number): void {
    set.received += received;
    set.sent += sent;
  }

  closed(set: LabelSet, flag: ResponseFlag): void {
    set.open--;
    set.closed.set(flag, (set.closed.get(flag) ?? 0) + 1);
    this.addOpen(set.labels.reporter, -1);
    this.forgetOldest();
  }

  private addOpen(reporter: string, change: number): void {
    this.openSockets.set(reporter, (this.openSockets.get(reporter) ?? 0) + change);
  }

  private *sums(of: (set: LabelSet) => number): Iterable<Value> {
    for (const set of this.sets.values()) {
      const value = of(set);
      if (value > 0) yield { labels: set.labels, value };
    }
  }

  private *ends(isCounted: (flag: ResponseFlag) => boolean): Iterable<Value> {
    for (const { labels, closed } of this.sets.values()) {
      for (const [response_flags, value] of closed) {
        if (isCounted(response_flags)) yield { labels: { ...labels, response_flags }, value };
      }
    }
  }

  private forgetOldest(): void {
    if (this.sets.size <= this.limit) return;
    for (const set of this.sets.values()) {
      if (set.open > 0) continue;
      this.sets.delete(set.key);
      return;
    }
  }
}
