import { isIPv6 } from 'node:net';
import { closeDescriptor } from './descriptor.ts';
import { check, libc } from './libc.ts';
import { openSocket } from './open-socket.ts';
import { AF_INET, AF_INET6, encodeSocketAddress } from './socket-address.ts';
import { IPV6_V6ONLY, setOption, SO_MARK, SO_REUSEPORT, SOL_IPV6, SOL_SOCKET } from './socket-options.ts';

export interface UdpSocketOptions {
  readonly family: 4 | 6;
  readonly mark?: number;
  /** Without it the kernel chooses a port when the socket is connected or first sends. */
  readonly bind?: { readonly host: string; readonly port: number; readonly reusePort: boolean };
}

/**
 * A datagram socket in the thread's present network namespace, for `dgram.Socket.bind({ fd })`, which takes
 * ownership. Throws a SystemError.
 */
export function createUdpSocket({ family, mark, bind }: UdpSocketOptions): number {
  if (bind !== undefined && isIPv6(bind.host) !== (family === 6))
    throw new TypeError(`${bind.host} is not of family IPv${family}`);
  const fd = openSocket(family === 6 ? AF_INET6 : AF_INET, 'datagram');
  try {
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark);
    if (bind === undefined) return fd;
    if (family === 6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, 1);
    if (bind.reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    const address = encodeSocketAddress(bind.host, bind.port);
    check(`bind ${bind.host}:${bind.port}/udp`, libc().bind(fd, address, address.length));
    return fd;
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}
