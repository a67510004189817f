import { isIPv6 } from 'node:net';
import { closeDescriptor } from './descriptor.ts';
import { check, libc } from './libc.ts';
import { AF_INET, AF_INET6, decodeSocketAddress, encodeSocketAddress } from './socket-address.ts';
import { openSocket } from './open-socket.ts';
import { setOption, SO_MARK, SOL_SOCKET } from './socket-options.ts';

const ADDRESS_BYTES = 28;
/** Any will do: nothing is sent. */
const DISCARD_PORT = 9;

/**
 * The address that a connection from the thread's present network namespace to another would come from; undefined if
 * there is no way. Towards an address of the namespace itself, and only then, it is that address.
 */
export function sourceAddressTowards(
  address: string,
  { mark }: { readonly mark?: number | undefined } = {},
): string | undefined {
  const fd = openSocket(isIPv6(address) ? AF_INET6 : AF_INET, 'datagram');
  try {
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark);
    const remote = encodeSocketAddress(address, DISCARD_PORT);
    // For a datagram socket this is a look at the routes.
    if (libc().connect(fd, remote, remote.length) !== 0) return undefined;
    const local = Buffer.alloc(ADDRESS_BYTES);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(ADDRESS_BYTES, 0);
    check('getsockname', libc().getsockname(fd, local, length));
    return decodeSocketAddress(local)?.address;
  } finally {
    closeDescriptor(fd);
  }
}
