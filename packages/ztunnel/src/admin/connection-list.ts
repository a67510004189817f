import type { OpenConnection } from '../control/connection-table.ts';
import { formatSocketAddress } from '../state/ip-address.ts';

/** `GET /connections`: who is still on, and since when. */
export function listConnections(connections: Iterable<OpenConnection>): unknown {
  return [...connections].map((c) => ({
    pod: c.podUid,
    direction: c.direction,
    src: formatSocketAddress(c.source),
    dst: c.hboneTarget ?? formatSocketAddress(c.destination),
    identity: c.traffic.sourceIdentity,
    protocol: c.protocol,
    since: c.openedAt.toISOString(),
    received: c.received,
    sent: c.sent,
  }));
}
