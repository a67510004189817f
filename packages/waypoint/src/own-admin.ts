import { BlockList, isIPv6 } from 'node:net';
import type { ForbiddenAddress } from '@weft/proxy';

/**
 * Where the admin interface of this process listens. Who may write a ServiceEntry, or what a name of it resolves to,
 * is not therefore one who may stop the waypoint, or read what it serves to others.
 */
export function ownAdmin(adminPort: number): ForbiddenAddress {
  const own = new BlockList();
  own.addSubnet('127.0.0.0', 8, 'ipv4');
  own.addAddress('::1', 'ipv6');
  // To connect to no address is to connect to the loopback.
  own.addAddress('0.0.0.0', 'ipv4');
  own.addAddress('::', 'ipv6');
  return ({ ip, port }) => port === adminPort && own.check(ip, isIPv6(ip) ? 'ipv6' : 'ipv4');
}
