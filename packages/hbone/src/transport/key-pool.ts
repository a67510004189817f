import type { SpiffeId } from '@weft/spiffe';
import { formatAuthority } from '../headers/authority.ts';
import type { TunnelSession } from './session.ts';

/** A connection that was asked for within this time is replaced as soon as it is lost or its server drains. */
const BUSY_WITHIN_MS = 10_000;

/** Everything that must be equal for a connection to be shared. */
export interface PoolKey {
  readonly source: SpiffeId;
  /** Identities that the server may have: one of them must be among its URI names. Empty: nobody will do. */
  readonly acceptable: readonly string[];
  readonly address: { readonly ip: string; readonly port: number };
  /** The pod whose traffic it is. */
  readonly sourceIp: string;
}

export interface Waiter {
  /** Opens its stream if there is a place. */
  take(): boolean;
  reject(reason: unknown): void;
}

/** The connections of one key. */
export interface KeyPool {
  readonly key: PoolKey;
  readonly id: string;
  readonly sessions: Set<TunnelSession>;
  readonly waiters: Set<Waiter>;
  dialling: number;
}

export interface PooledSession {
  readonly pool: KeyPool;
  /** When it was last asked for a stream, and how often it was. */
  lastUsed: number;
  served: number;
}

export function keyId({ source, acceptable, address, sourceIp }: PoolKey): string {
  return JSON.stringify([source, acceptable, address.ip, address.port, sourceIp]);
}

/** The server, as errors name it. */
export function targetName({ address }: PoolKey): string {
  return formatAuthority(address.ip, address.port);
}

/** Streams that can be opened without another connection. */
export function freePlaces({ sessions }: KeyPool, maxStreamsPerConnection: number): number {
  let places = 0;
  for (const session of sessions) {
    if (!session.canOpen) continue;
    const most = Math.min(maxStreamsPerConnection, session.peerMaxStreams);
    places += Math.max(0, most - session.activeStreams);
  }
  return places;
}

/** One that nobody used isn't replaced, or a server that closes at once would be dialled for ever. */
export function isBusy({ lastUsed, served }: PooledSession): boolean {
  return served > 0 && Date.now() - lastUsed < BUSY_WITHIN_MS;
}
