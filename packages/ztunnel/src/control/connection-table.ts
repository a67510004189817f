import type { ConnectionId, Failure } from '../data/messages.ts';
import type { PolicySubject } from '../decide/rbac.ts';
import type { SocketAddress } from '../state/ip-address.ts';
import type { Workload } from '../state/workload.ts';
import type { AccessLog, LoggedConnection } from '../telemetry/access-log.ts';
import type { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { trafficLabels, type PeerDescription, type TrafficDescription } from '../telemetry/traffic-labels.ts';
import type { LabelSet } from '../telemetry/traffic-series.ts';

export interface NewConnection extends LoggedConnection {
  readonly id: ConnectionId;
  readonly podUid: string;
  /** The pod's own workload. */
  readonly local: Workload;
  /**
   * DOUBLEHBONE: who is at the other end is known by its answer only, see `identified`. LOCAL: HBONE but for the bytes,
   * which stay in the process.
   */
  readonly protocol: 'HBONE' | 'DOUBLEHBONE' | 'LOCAL' | 'TCP';
  /** Outbound: what the application dialled. */
  readonly originalDestination: SocketAddress | undefined;
  readonly forwardedHost: string | undefined;
  /** Inbound: what policies are asked about. */
  readonly subject: PolicySubject | undefined;
}

export interface OpenConnection extends NewConnection {
  protocol: NewConnection['protocol'];
  traffic: TrafficDescription;
  /** Undefined until it is known who is at the other end. */
  series: LabelSet | undefined;
  readonly openedAt: Date;
  readonly openedAtMs: number;
  received: number;
  sent: number;
  /** When a policy that the workload lists was first missing. */
  policyMissingSinceMs: number | undefined;
}

/** Connections that are open now: counted, logged, listed, and re-examined when policies change. */
export class ConnectionTable {
  private readonly open = new Map<ConnectionId, OpenConnection>();
  private readonly metrics: ZtunnelMetrics;
  private readonly log: AccessLog;

  constructor(metrics: ZtunnelMetrics, log: AccessLog) {
    this.metrics = metrics;
    this.log = log;
  }

  opened(connection: NewConnection): OpenConnection {
    // Each field by name: a spread makes it twice, at several times the cost.
    const entry: OpenConnection = {
      id: connection.id,
      podUid: connection.podUid,
      local: connection.local,
      direction: connection.direction,
      protocol: connection.protocol,
      traffic: connection.traffic,
      source: connection.source,
      destination: connection.destination,
      originalDestination: connection.originalDestination,
      hboneTarget: connection.hboneTarget,
      forwardedHost: connection.forwardedHost,
      subject: connection.subject,
      openedAt: new Date(),
      openedAtMs: performance.now(),
      received: 0,
      sent: 0,
      policyMissingSinceMs: undefined,
      series: undefined,
    };
    this.open.set(entry.id, entry);
    if (entry.protocol !== 'DOUBLEHBONE') this.countOpened(entry);
    this.log.opened(entry);
    return entry;
  }

  /** The other end of an inner tunnel told who it is; without baggage, the gateway stands for it. */
  identified(id: ConnectionId, identity: string | undefined, baggage: PeerDescription | undefined): void {
    const entry = this.open.get(id);
    if (entry === undefined || entry.series !== undefined) return;
    const { traffic } = entry;
    entry.traffic = {
      ...traffic,
      destination: baggage === undefined ? traffic.destination : undefined,
      destinationBaggage: baggage,
      destinationIdentity: identity,
    };
    this.countOpened(entry);
  }

  /** Its other end turned out to be in this process. */
  stayedLocal(id: ConnectionId): void {
    const entry = this.open.get(id);
    if (entry !== undefined) entry.protocol = 'LOCAL';
  }

  moved(id: ConnectionId, received: number, sent: number): void {
    const entry = this.open.get(id);
    if (entry !== undefined) this.count(entry, received, sent);
  }

  /** Totals over the whole connection. Connections that were refused aren't here, and that is fine. */
  closed(id: ConnectionId, received: number, sent: number, failure: Failure | undefined): void {
    const entry = this.open.get(id);
    if (entry === undefined) return;
    this.open.delete(id);
    const set = entry.series ?? this.countOpened(entry);
    this.count(entry, received - entry.received, sent - entry.sent);
    this.metrics.traffic.closed(set, failure?.flag ?? '-');
    if (failure !== undefined) {
      this.metrics.errors.inc({ code: failure.code });
      if (failure.flag === 'CERT_REVOKED')
        this.metrics.crlRejections.inc({ reporter: entry.traffic.reporter });
    }
    this.log.closed(entry, entry, performance.now() - entry.openedAtMs, failure);
  }

  /** All connections of a data thread that is no more. */
  lost(isOfThread: (id: ConnectionId) => boolean, failure: Failure): void {
    for (const { id, received, sent } of this.open.values()) {
      if (isOfThread(id)) this.closed(id, received, sent, failure);
    }
  }

  has(id: ConnectionId): boolean {
    return this.open.has(id);
  }

  all(): Iterable<OpenConnection> {
    return this.open.values();
  }

  private countOpened(entry: OpenConnection): LabelSet {
    const series = this.metrics.traffic.opened(trafficLabels(entry.traffic));
    entry.series = series;
    return series;
  }

  private count(entry: OpenConnection, received: number, sent: number): void {
    entry.received += received;
    entry.sent += sent;
    if (entry.series !== undefined) this.metrics.traffic.moved(entry.series, received, sent);
  }
}
