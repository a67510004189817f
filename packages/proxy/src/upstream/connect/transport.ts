import { isIP, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Clock } from '@weft/telemetry';
import {
  type ByteStream,
  FilterState,
  type ForbiddenAddress,
  type InternalListeners,
  type Metadata,
  type SocketAddress,
} from '../../engine/types.ts';
import { createConnectionInfo } from '../../network/connection-info.ts';
import { localAddressOf } from '../../network/socket-address.ts';
import { SocketStream } from '../../network/socket-stream.ts';
import { StreamDuplex } from '../../network/stream-duplex.ts';
import type { DnsFamily } from '../config/cluster-config.ts';
import { addressesOf } from '../discovery/dns.ts';
import type { NameLookups } from '../discovery/name-lookups.ts';
import type { Host } from '../host.ts';
import type { UpstreamTls } from '../tls/upstream-tls.ts';
import { ConnectError } from './connect-error.ts';
import { connectTcp, type IpAddress } from './tcp.ts';
import { connectTls, type TlsFailureStat, type TlsHandshake } from './tls-connect.ts';

export interface ConnectPlan {
  readonly host: Host;
  /** Undefined: bytes as they are. */
  readonly tls: { readonly context: UpstreamTls; readonly handshake: TlsHandshake } | undefined;
  /** For hosts that are internal listeners: what travels along, by an internal_upstream socket. */
  readonly internal: { readonly filterState: FilterState; readonly metadata: Metadata } | undefined;
  readonly timeoutMs: number;
  readonly keepaliveTimeS: number | undefined;
  readonly sources: readonly IpAddress[];
  /** Set where hosts may have names instead of addresses. */
  readonly lookup: DnsFamily | undefined;
}

export interface ConnectEnvironment {
  readonly clock: Clock;
  readonly internalListeners: InternalListeners;
  readonly lookups: NameLookups;
  readonly isForbidden: ForbiddenAddress | undefined;
  onTlsFailure(stat: TlsFailureStat): void;
  onTlsHandshake(): void;
}

/** What an internal listener sees as its peer: nothing on the network. */
const INTERNAL_CLIENT: SocketAddress = {
  kind: 'internal',
  listener: 'internal_client_address',
  endpointId: '',
};

/**
 * One new connection to a host, with everything between the wire and its bytes: TCP or the pipe of an internal
 * listener, then TLS. The deadline covers all of it.
 *
 * @throws ConnectError; the reason of `signal`
 */
export async function openTransport(
  plan: ConnectPlan,
  environment: ConnectEnvironment,
  signal: AbortSignal,
): Promise<ByteStream> {
  const deadline = new AbortController();
  const onAbort = (): void => deadline.abort(signal.reason);
  if (signal.aborted) onAbort();
  else signal.addEventListener('abort', onAbort, { once: true });
  const cancelTimer = environment.clock.schedule(plan.timeoutMs, () =>
    deadline.abort(new ConnectError('connect-timeout', 'connection timeout')),
  );
  try {
    const { address } = plan.host;
    return address.kind === 'internal'
      ? await openInternal(plan, address, environment, deadline.signal)
      : await openTcp(plan, environment, deadline.signal);
  } finally {
    cancelTimer();
    signal.removeEventListener('abort', onAbort);
  }
}

async function openTcp(
  plan: ConnectPlan,
  environment: ConnectEnvironment,
  signal: AbortSignal,
): Promise<ByteStream> {
  const { host } = plan;
  const known = [host.address, ...host.spec.additionalAddresses].filter((a) => a.kind === 'ip');
  const { isForbidden = () => false, lookups } = environment;
  const found = plan.lookup === undefined ? known : await lookedUp(known, plan.lookup, lookups, signal);
  const addresses = found.filter((address) => !isForbidden(address));
  if (addresses.length === 0) throw new ConnectError('connect-failure', 'forbidden_address');
  const socket = await connectTcp(addresses, plan, signal);
  const info = createConnectionInfo({
    remoteAddress: host.address,
    localAddress: localAddressOf(socket),
    startTimeMs: environment.clock.now(),
  });
  if (plan.tls === undefined) return new SocketStream(socket, info);
  return secured(socket, info, plan.tls, environment, signal);
}

/** @throws ConnectError `dns-failure`; the reason of `signal` */
async function lookedUp(
  named: readonly IpAddress[],
  family: DnsFamily,
  lookups: NameLookups,
  signal: AbortSignal,
): Promise<readonly IpAddress[]> {
  const [{ ip: name, port } = { ip: '', port: 0 }] = named;
  if (isIP(name) !== 0) return named;
  const answers = await lookups.resolve(name, signal).catch((cause: unknown) => {
    throw signal.aborted
      ? signal.reason
      : new ConnectError('dns-failure', 'dns_resolution_failure', { cause });
  });
  const found = addressesOf(family, answers).map((ip): IpAddress => ({ kind: 'ip', ip, port }));
  if (found.length === 0) throw new ConnectError('dns-failure', 'dns_resolution_failure');
  return found;
}

async function openInternal(
  plan: ConnectPlan,
  address: Extract<SocketAddress, { kind: 'internal' }>,
  environment: ConnectEnvironment,
  signal: AbortSignal,
): Promise<ByteStream> {
  if (signal.aborted) throw signal.reason;
  const stream = environment.internalListeners.connect({
    listener: address.listener,
    endpointId: address.endpointId,
    filterState: plan.internal?.filterState ?? new FilterState(),
    dynamicMetadata: plan.internal?.metadata ?? new Map(),
    remoteAddress: INTERNAL_CLIENT,
  });
  if (stream === undefined) {
    throw new ConnectError('connect-failure', `no internal listener ${address.listener}`);
  }
  if (plan.tls === undefined) return stream;
  return secured(new StreamDuplex(stream), stream.info, plan.tls, environment, signal);
}

async function secured(
  transport: Duplex,
  info: ByteStream['info'],
  tls: NonNullable<ConnectPlan['tls']>,
  environment: ConnectEnvironment,
  signal: AbortSignal,
): Promise<ByteStream> {
  const { socket, info: tlsDetails } = await connectTls(
    transport,
    tls.context,
    tls.handshake,
    signal,
    (stat) => environment.onTlsFailure(stat),
  );
  environment.onTlsHandshake();
  info.tls = tlsDetails;
  info.transportProtocol = 'tls';
  return new SocketStream(socket, info, transport instanceof Socket ? transport : undefined);
}
