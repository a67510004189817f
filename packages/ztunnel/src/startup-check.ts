import {
  closeDescriptor,
  createTcpListener,
  createTcpSocket,
  inNetworkNamespace,
  openNetworkNamespace,
} from '@weft/linux';
import { WeftError } from '@weft/telemetry';
import type { SocketSettings } from './data/messages.ts';
import type { ProxyMode } from './proxy-mode.ts';

/** Refuses to start without the rights that serving any pod needs. @throws WEFT1101, WEFT1102, WEFT1103 */
export function checkPrivileges(sockets: SocketSettings, mode: ProxyMode): void {
  if (mode.kind === 'shared') checkNamespaces();
  const { mark, transparent } = sockets;
  try {
    if (mark !== undefined) closeDescriptor(createTcpSocket({ family: 4, mark }).fd);
  } catch (cause) {
    throw new WeftError('WEFT1102', `cannot set SO_MARK ${mark}`, { cause });
  }
  try {
    closeDescriptor(createTcpListener({ host: '127.0.0.1', port: 0, transparent }).fd);
  } catch (cause) {
    throw new WeftError('WEFT1103', 'cannot set IP_TRANSPARENT', { cause });
  }
}

function checkNamespaces(): void {
  const namespace = openNetworkNamespace('/proc/self/ns/net');
  try {
    inNetworkNamespace(namespace, () => undefined);
  } catch (cause) {
    throw new WeftError('WEFT1101', 'setns failed', { cause });
  } finally {
    namespace.close();
  }
}
