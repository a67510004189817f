import {
  ReactorSocket,
  relay,
  spliceRelay,
  type CancelSignal,
  type RelayEnd,
  type RelayRecord,
} from '@weft/hbone';

/** Relays; between two plain sockets of a reactor no byte has to be seen. */
export function move(
  downstream: RelayEnd,
  upstream: RelayEnd,
  record: RelayRecord,
  signal: CancelSignal,
): Promise<void> {
  return downstream instanceof ReactorSocket && upstream instanceof ReactorSocket
    ? spliceRelay(downstream, upstream, record, signal)
    : relay(downstream, upstream, record, signal);
}
