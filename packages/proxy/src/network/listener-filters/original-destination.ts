import type { Socket } from 'node:net';
import type { ConnectionInfo, SocketAddress } from '../../engine/types.ts';
import { parseSocketAddress } from '../socket-address.ts';
import { proceed, type ListenerFilter } from './listener-filter.ts';

const METADATA = 'envoy.filters.listener.original_dst';
/** Where the client of an internal connection meant to go, and where it came from, as filters before it say. */
export const LOCAL_ADDRESS_KEY = 'envoy.filters.listener.original_dst.local_ip';
export const REMOTE_ADDRESS_KEY = 'envoy.filters.listener.original_dst.remote_ip';

/** SO_ORIGINAL_DST of an accepted socket; undefined when nothing redirected it. */
export type OriginalDestination = (socket: Socket) => SocketAddress | undefined;

/** Restores the address that the client connected to before the connection was redirected, and its own. */
export function originalDestination(ofSocket: OriginalDestination | undefined): ListenerFilter {
  return {
    name: 'envoy.filters.listener.original_dst',
    inspect: ({ connection }) => {
      const { info, socket } = connection;
      if (socket !== undefined) {
        restoreLocal(info, ofSocket?.(socket));
        return proceed;
      }
      const metadata = info.dynamicMetadata.get(METADATA)?.['local'];
      const local = typeof metadata === 'string' ? metadata : info.filterState.text(LOCAL_ADDRESS_KEY);
      if (local !== undefined) restoreLocal(info, parseSocketAddress(local));
      const remote = info.filterState.text(REMOTE_ADDRESS_KEY);
      const remoteAddress = remote === undefined ? undefined : parseSocketAddress(remote);
      if (remoteAddress !== undefined) info.remoteAddress = remoteAddress;
      return proceed;
    },
  };
}

function restoreLocal(info: ConnectionInfo, address: SocketAddress | undefined): void {
  if (address === undefined) return;
  info.localAddress = address;
  info.localAddressRestored = true;
}
