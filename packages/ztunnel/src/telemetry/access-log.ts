import { Bare, type Logger } from '@weft/telemetry';
import type { Failure } from '../data/messages.ts';
import { formatSocketAddress, type SocketAddress } from '../state/ip-address.ts';
import type { TrafficDescription } from './traffic-labels.ts';

export interface LoggedConnection {
  readonly direction: 'inbound' | 'outbound';
  readonly traffic: TrafficDescription;
  readonly source: SocketAddress;
  /** Where the connection went: of tunnels, the tunnel's own address. */
  readonly destination: SocketAddress;
  /** What was asked for inside of a tunnel. */
  readonly hboneTarget: string | undefined;
}

/** One line a connection, in ztunnel's fields and order. */
export class AccessLog {
  private readonly logger: Logger;

  constructor(logger: Logger) {
    this.logger = logger;
  }

  opened(connection: LoggedConnection): void {
    if (this.logger.enabled('debug')) this.logger.debug('connection opened', fields(connection));
  }

  /** Counts are those of the metrics: `received` from downstream, `sent` to it. */
  closed(
    connection: LoggedConnection,
    counts: { readonly received: number; readonly sent: number },
    durationMs: number,
    failure: Failure | undefined,
  ): void {
    const level = failure === undefined ? 'info' : 'error';
    if (!this.logger.enabled(level)) return;
    // "Sent" is what the reporter's side sent: for a source, the bytes that it received from its application.
    const isSource = connection.direction === 'outbound';
    const line = fields(connection);
    line['bytes_sent'] = isSource ? counts.received : counts.sent;
    line['bytes_recv'] = isSource ? counts.sent : counts.received;
    line['duration'] = `${Math.floor(durationMs)}ms`;
    if (failure !== undefined) {
      line['error'] = failure.message;
      line['code'] = failure.code;
    }
    this.logger[level]('connection complete', line);
  }

  /** Refused before anything was known of it. */
  refused(
    direction: 'inbound' | 'outbound',
    source: SocketAddress | undefined,
    destination: SocketAddress | undefined,
    failure: Failure,
  ): void {
    this.logger.warn('connection failed', {
      'src.addr': source && new Bare(formatSocketAddress(source)),
      'dst.addr': destination && new Bare(formatSocketAddress(destination)),
      direction,
      error: failure.message,
      code: failure.code,
    });
  }
}

function fields({
  direction,
  traffic,
  source,
  destination,
  hboneTarget,
}: LoggedConnection): Record<string, unknown> {
  const from = traffic.source;
  const to = traffic.destination;
  const known = (text: string | undefined): string | undefined => (text === '' ? undefined : text);
  return {
    'src.addr': new Bare(formatSocketAddress(source)),
    'src.workload': known(from?.name ?? traffic.sourceBaggage?.workloadName),
    'src.namespace': known(from?.namespace ?? traffic.sourceBaggage?.namespace),
    'src.identity': traffic.isMutualTls ? traffic.sourceIdentity : undefined,
    'src.cluster': known(from?.clusterId ?? traffic.sourceBaggage?.clusterId),
    'dst.addr': new Bare(formatSocketAddress(destination)),
    'dst.hbone_addr': hboneTarget === undefined ? undefined : new Bare(hboneTarget),
    'dst.service': known(traffic.service?.hostname),
    'dst.workload': known(to?.name),
    'dst.namespace': known(to?.namespace),
    'dst.identity': traffic.isMutualTls ? traffic.destinationIdentity : undefined,
    'dst.cluster': known(to?.clusterId),
    direction,
  };
}
