import { isIPv6 } from 'node:net';
import { closeDescriptor } from './descriptor.ts';
import { check, libc } from './libc.ts';
import { openSocket } from './open-socket.ts';
import { AF_INET, AF_INET6, decodeSocketAddress, encodeSocketAddress } from './socket-address.ts';
import {
  IPV6_V6ONLY,
  setOption,
  SO_MARK,
  SO_REUSEPORT,
  SOL_IPV6,
  SOL_SOCKET,
  trySetOption,
} from './socket-options.ts';

const SO_REUSEADDR = 2;
const SO_KEEPALIVE = 9;

const SOL_IP = 0;
const IP_FREEBIND = 15;
const IP_TRANSPARENT = 19;
const IP_BIND_ADDRESS_NO_PORT = 24;
const SO_ORIGINAL_DST = 80;

const IPV6_TRANSPARENT = 75;
const IPV6_FREEBIND = 78;

const SOL_TCP = 6;
const TCP_NODELAY = 1;
const TCP_KEEPIDLE = 4;
const TCP_KEEPINTVL = 5;
const TCP_KEEPCNT = 6;
const TCP_DEFER_ACCEPT = 9;
const TCP_USER_TIMEOUT = 18;

export interface TcpListenerOptions {
  /** `::` listens on both families. */
  readonly host: string;
  readonly port: number;
  readonly backlog?: number;
  readonly mark?: number;
  readonly reusePort?: boolean;
  /** Whether the listener may accept connections to addresses that aren't local (IP_TRANSPARENT). */
  readonly transparent?: 'required' | 'best-effort' | 'never';
  /** Of the connections, which inherit them. */
  readonly tcp?: TcpOptions;
}

/**
 * A listening socket in the thread's present network namespace, for `server.listen({ fd })`. Accepted sockets
 * inherit the mark and the options. Throws a SystemError; `transparent` tells whether IP_TRANSPARENT was granted.
 */
export function createTcpListener(options: TcpListenerOptions): { fd: number; transparent: boolean } {
  const { host, port, backlog = 128, mark, reusePort = false, transparent: wanted = 'never' } = options;
  const family = isIPv6(host) ? AF_INET6 : AF_INET;
  const fd = openSocket(family, 'stream');
  try {
    if (family === AF_INET6) setOption(fd, SOL_IPV6, IPV6_V6ONLY, host === '::' ? 0 : 1);
    setOption(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (reusePort) setOption(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark);
    // The IPv4 option serves IPv6 sockets as well: the kernel keeps one flag for both.
    let transparent = false;
    if (wanted === 'required') transparent = setOption(fd, SOL_IP, IP_TRANSPARENT, 1);
    if (wanted === 'best-effort') transparent = trySetOption(fd, SOL_IP, IP_TRANSPARENT, 1);
    if (options.tcp !== undefined) setTcpOptions(fd, options.tcp);
    const address = encodeSocketAddress(host, port);
    check(`bind ${host}:${port}`, libc().bind(fd, address, address.length));
    check('listen', libc().listen(fd, backlog));
    return { fd, transparent };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

export interface TcpSocketOptions {
  readonly family: 4 | 6;
  readonly mark?: number;
  /** Sends from this address even if it isn't ours (IP_TRANSPARENT and IP_FREEBIND); best effort. */
  readonly bindAddress?: string;
  /**
   * Holds back the acknowledgement that completes the handshake, for as long as an acknowledgement may be delayed
   * (40 to 200 ms). Who resets the connection meanwhile was never seen by the peer's `accept`.
   */
  readonly holdLastHandshakePacket?: boolean;
}

/**
 * An unconnected, non-blocking socket in the thread's present network namespace, for
 * `new net.Socket({ fd }).connect({ host, port })` in the same turn.
 */
export function createTcpSocket(options: TcpSocketOptions): { fd: number; spoofed: boolean } {
  const { family, mark, bindAddress } = options;
  const fd = openSocket(family === 6 ? AF_INET6 : AF_INET, 'stream');
  try {
    if (mark !== undefined) setOption(fd, SOL_SOCKET, SO_MARK, mark);
    // On a connecting socket the option means: wait, data will follow.
    if (options.holdLastHandshakePacket === true) setOption(fd, SOL_TCP, TCP_DEFER_ACCEPT, 1);
    return { fd, spoofed: bindAddress !== undefined && bindTransparently(fd, family, bindAddress) };
  } catch (error) {
    closeDescriptor(fd);
    throw error;
  }
}

function bindTransparently(fd: number, family: 4 | 6, bindAddress: string): boolean {
  if (bindAddress.includes(':') !== (family === 6)) return false;
  const granted =
    family === 6
      ? trySetOption(fd, SOL_IPV6, IPV6_TRANSPARENT, 1) && trySetOption(fd, SOL_IPV6, IPV6_FREEBIND, 1)
      : trySetOption(fd, SOL_IP, IP_TRANSPARENT, 1) && trySetOption(fd, SOL_IP, IP_FREEBIND, 1);
  if (!granted) return false;
  // Lets the kernel choose the port at connect, when it can share it between destinations.
  trySetOption(fd, SOL_IP, IP_BIND_ADDRESS_NO_PORT, 1);
  const address = encodeSocketAddress(bindAddress, 0);
  return libc().bind(fd, address, address.length) === 0;
}

/** A `struct sockaddr` and its length, for one call at a time. */
const sockaddr = Buffer.allocUnsafeSlow(28);
const sockaddrLength = Buffer.allocUnsafeSlow(4);

/** Where a redirected connection was meant to go, or undefined if it wasn't redirected or isn't tracked. */
export function originalDestination(fd: number): { address: string; port: number } | undefined {
  const [raw, length] = [sockaddr, sockaddrLength];
  for (const level of [SOL_IP, SOL_IPV6]) {
    length.writeUInt32LE(raw.length, 0);
    if (libc().getsockopt(fd, level, SO_ORIGINAL_DST, raw, length) === 0) return decodeSocketAddress(raw);
  }
  return undefined;
}

export interface TcpOptions {
  readonly noDelay?: boolean;
  readonly keepAlive?: { readonly idleMs: number; readonly intervalMs: number; readonly probes: number };
  readonly userTimeoutMs?: number;
}

// What the kernel takes: MAX_TCP_KEEPIDLE and MAX_TCP_KEEPINTVL, and an int.
const MAX_KEEPALIVE_SECONDS = 32_767;
const MAX_USER_TIMEOUT_MS = 2 ** 31 - 1;

/** Times that are longer than the kernel takes are as long as it takes. */
export function setTcpOptions(fd: number, { noDelay, keepAlive, userTimeoutMs }: TcpOptions): void {
  if (noDelay !== undefined) setOption(fd, SOL_TCP, TCP_NODELAY, noDelay ? 1 : 0);
  if (keepAlive !== undefined) {
    const seconds = (ms: number): number =>
      Math.min(Math.max(1, Math.round(ms / 1000)), MAX_KEEPALIVE_SECONDS);
    setOption(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    setOption(fd, SOL_TCP, TCP_KEEPIDLE, seconds(keepAlive.idleMs));
    setOption(fd, SOL_TCP, TCP_KEEPINTVL, seconds(keepAlive.intervalMs));
    setOption(fd, SOL_TCP, TCP_KEEPCNT, keepAlive.probes);
  }
  if (userTimeoutMs !== undefined) {
    setOption(fd, SOL_TCP, TCP_USER_TIMEOUT, Math.min(userTimeoutMs, MAX_USER_TIMEOUT_MS));
  }
}
