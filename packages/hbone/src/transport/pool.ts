import type { Socket } from 'node:net';
import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import type { CancelSignal } from './cancellation.ts';
import { ErrorCode } from '../http2/constants.ts';
import type { FlatFields } from '../http2/hpack/decoder.ts';
import { TlsClient, type VerifyPeer } from './client-handshake.ts';
import type { HeaderFields } from './connect-request.ts';
import {
  abortReason,
  closeError,
  connectFields,
  ConnectRefusedError,
  dialError,
  isUnprocessed,
  responseOf,
} from './connect-response.ts';
import { openInnerTunnel, type InnerTunnelRequest } from './inner-tunnel.ts';
import { defaultHbonePoolLimits, type HbonePoolLimits } from './pool-limits.ts';
import {
  freePlaces,
  isBusy,
  keyId,
  type KeyPool,
  type PooledSession,
  type PoolKey,
  targetName,
  type Waiter,
} from './key-pool.ts';
import { defaultKeepalive, type KeepaliveOptions } from './keepalive.ts';
import type { ReactorSocket } from './reactor/reactor-socket.ts';
import { type SessionEvents, TunnelSession } from './session.ts';
import { TunnelResources } from './tunnel-resources.ts';
import type { TlsSettings } from './tls.ts';
import type { SessionStream } from './session-stream.ts';
import type { TunnelStream } from './tunnel-stream.ts';

export interface TunnelRequest extends PoolKey {
  /** Of the CONNECT. */
  readonly authority: string;
  readonly headers: HeaderFields;
  readonly signal?: CancelSignal;
}

export interface Tunnel {
  readonly stream: TunnelStream;
  readonly responseHeaders: ReadonlyMap<string, string>;
  readonly peerIdentity: SpiffeId | undefined;
  /** The connection that carries it. */
  readonly session: TunnelSession;
}

export interface HbonePoolOptions {
  /** Makes a connected TCP socket in the right namespace, with the right mark. */
  readonly dial: (key: PoolKey, signal: CancelSignal) => Promise<Socket | ReactorSocket>;
  readonly certificateFor: (source: SpiffeId) => Promise<WorkloadCertificate>;
  readonly verifyPeer?: VerifyPeer;
  readonly tls?: TlsSettings;
  readonly limits?: Partial<HbonePoolLimits>;
  readonly keepalive?: KeepaliveOptions;
  readonly resources?: TunnelResources;
}

/** How often a CONNECT that certainly wasn't processed is sent again on another connection. */
const MAX_ATTEMPTS = 3;

/** With fewer free places than this part of a connection's, the next connection is made before anybody has to wait. */
const SPARE_FRACTION = 0.1;

interface OpenedStream {
  readonly session: TunnelSession;
  readonly stream: SessionStream;
}

/**
 * Client connections, shared by streams of equal key. A connection is used again whenever it has a free place, also
 * after it was full (ztunnel drops those for good); one dial serves all who wait, as far as its streams reach.
 */
export class HbonePool implements SessionEvents {
  private readonly options: HbonePoolOptions;
  private readonly limits: HbonePoolLimits;
  private readonly keepalive: KeepaliveOptions;
  private readonly resources: TunnelResources;
  private readonly tls: TlsClient;
  private readonly keys = new Map<string, KeyPool>();
  private readonly pooled = new Map<TunnelSession, PooledSession>();
  /** Also those that left the pool and wait for their last stream. */
  private readonly allSessions = new Set<TunnelSession>();
  private readonly closing = new AbortController();
  private readonly sweeper: NodeJS.Timeout;

  constructor(options: HbonePoolOptions) {
    this.options = options;
    this.limits = { ...defaultHbonePoolLimits, ...options.limits };
    this.keepalive = options.keepalive ?? defaultKeepalive;
    this.resources = options.resources ?? new TunnelResources();
    this.tls = new TlsClient(options.tls, options.verifyPeer);
    this.sweeper = setInterval(() => this.releaseUnused(), Math.max(1, this.limits.unusedReleaseMs / 4));
    this.sweeper.unref();
  }

  /** Open connections, those that drain included. */
  get sessions(): ReadonlySet<TunnelSession> {
    return this.allSessions;
  }

  /**
   * Opens a tunnel; resolves when the destination answered 200.
   * @throws WEFT1201 WEFT1203 TLS, WEFT1205 timeout, WEFT1206 refused (`status` tells), WEFT1207 WEFT1212 lost or
   *   reset, WEFT1208 a limit, WEFT1209 dial failed, WEFT1213 closed; or the reason of `signal`
   */
  async connect(request: TunnelRequest): Promise<Tunnel> {
    const fields = connectFields(request.authority, request.headers);
    for (let attempt = 1; ; attempt++) {
      const { session, stream } = await this.openStream(request, fields);
      const outcome = await responseOf(stream, request.signal);
      switch (outcome.kind) {
        case 'answered':
          if (outcome.head.status === 200) {
            return {
              stream,
              responseHeaders: outcome.head.headers,
              peerIdentity: session.peerIdentity,
              session,
            };
          }
          stream.reset(ErrorCode.NO_ERROR);
          throw new ConnectRefusedError(outcome.head.status, request.authority, targetName(request));
        case 'aborted':
          throw outcome.reason;
        case 'closed':
          if (attempt < MAX_ATTEMPTS && isUnprocessed(outcome.close)) continue;
          throw closeError(outcome.close, request.authority, targetName(request));
      }
    }
  }

  /**
   * Opens a tunnel inside a tunnel, by a connection of its own: behind the outer end each may reach somebody else.
   * It ends with its stream, and the outer one with it. Takes the outer one over, also on failure.
   * @throws as `connect`
   */
  connectInside(outer: Tunnel, request: InnerTunnelRequest): Promise<Tunnel> {
    const { tls, limits, keepalive, resources, allSessions: sessions } = this;
    const { certificateFor } = this.options;
    return openInnerTunnel(outer, request, { certificateFor, tls, limits, keepalive, resources, sessions });
  }

  /** Closes every connection of the pool and fails whoever waits. */
  close(): void {
    if (this.closing.signal.aborted) return;
    clearInterval(this.sweeper);
    const closed = poolClosed();
    this.closing.abort(closed);
    for (const pool of this.keys.values()) this.failWaiters(pool, closed);
    this.keys.clear();
    for (const session of this.allSessions) session.destroy(closed);
  }

  /** @internal Clients get no requests. */
  onRequest(): void {}

  /** @internal */
  onChange(session: TunnelSession): void {
    const entry = this.pooled.get(session);
    if (entry === undefined) return;
    if (entry.pool.waiters.size > 0) this.serveWaiters(entry.pool);
    else if (!session.canOpen && isBusy(entry)) this.keepFree(1, entry.pool);
  }

  /** @internal */
  onClose(session: TunnelSession): void {
    this.allSessions.delete(session);
    const entry = this.release(session);
    if (entry === undefined) return;
    if (isBusy(entry)) this.keepFree(1, entry.pool);
    this.forgetIfEmpty(entry.pool);
  }

  /**
   * Opens a stream on a pooled connection, or on the one that a dial brings. It is opened in the same turn in which
   * the place is found, or concurrent requests would all be promised the same place.
   */
  private openStream(request: TunnelRequest, fields: FlatFields): Promise<OpenedStream> {
    const { signal } = request;
    if (this.closing.signal.aborted) return Promise.reject(poolClosed());
    if (signal?.aborted === true) return Promise.reject(abortReason(signal));
    const pool = this.poolOf(request);
    if (pool.waiters.size === 0) {
      const opened = this.openOnPooled(pool, fields);
      if (opened !== undefined) {
        this.keepFree(Math.floor(this.limits.maxStreamsPerConnection * SPARE_FRACTION), pool);
        return Promise.resolve(opened);
      }
    }
    if (pool.waiters.size >= this.limits.maxWaitersPerKey) {
      return Promise.reject(
        new WeftError('WEFT1208', `${pool.waiters.size} requests wait for ${targetName(request)}`),
      );
    }
    return new Promise((resolve, reject) => {
      const onAbort = (): void => waiter.reject(abortReason(signal));
      const leave = (): void => {
        pool.waiters.delete(waiter);
        signal?.removeEventListener('abort', onAbort);
      };
      const waiter: Waiter = {
        take: () => {
          const opened = this.openOnPooled(pool, fields);
          if (opened === undefined) return false;
          leave();
          resolve(opened);
          return true;
        },
        reject: (reason) => {
          leave();
          reject(reason);
        },
      };
      pool.waiters.add(waiter);
      signal?.addEventListener('abort', onAbort, { once: true });
      this.dialAsNeeded(pool);
    });
  }

  private openOnPooled(pool: KeyPool, fields: FlatFields): OpenedStream | undefined {
    for (const session of pool.sessions) {
      if (session.activeStreams >= this.limits.maxStreamsPerConnection) continue;
      const stream = session.open(fields);
      if (stream === undefined) continue;
      const entry = this.pooled.get(session);
      if (entry !== undefined) {
        entry.lastUsed = Date.now();
        entry.served++;
      }
      return { session, stream };
    }
    return undefined;
  }

  /** One dial serves as many waiters as its connection will take streams. */
  private dialAsNeeded(pool: KeyPool): void {
    const needed = Math.ceil(pool.waiters.size / this.limits.maxStreamsPerConnection);
    while (pool.dialling < needed && pool.sessions.size + pool.dialling < this.limits.maxConnectionsPerKey) {
      pool.dialling++;
      void this.dial(pool);
    }
  }

  /** Busy peers' tunnels are made ahead of those who would wait for them. */
  private keepFree(places: number, pool: KeyPool): void {
    const { maxStreamsPerConnection, maxConnectionsPerKey } = this.limits;
    if (pool.dialling > 0 || pool.waiters.size > 0 || this.closing.signal.aborted) return;
    if (freePlaces(pool, maxStreamsPerConnection) >= places) return;
    if (pool.sessions.size >= maxConnectionsPerKey) return;
    pool.dialling++;
    void this.dial(pool);
  }

  private async dial(pool: KeyPool): Promise<void> {
    try {
      const signal = AbortSignal.any([this.closing.signal, AbortSignal.timeout(this.limits.dialTimeoutMs)]);
      const session = await this.establish(pool.key, signal);
      pool.dialling--;
      pool.sessions.add(session);
      this.pooled.set(session, { pool, lastUsed: Date.now(), served: 0 });
      this.serveWaiters(pool);
    } catch (error) {
      pool.dialling--;
      // Those who wait for this dial share its failure; a place may still come free on an older connection.
      if (pool.dialling === 0) this.failWaiters(pool, dialError(error, targetName(pool.key)));
      this.forgetIfEmpty(pool);
    }
  }

  private async establish(key: PoolKey, signal: AbortSignal): Promise<TunnelSession> {
    const dialled = this.options.dial(key, signal);
    const [certificate, socket] = await Promise.all([this.options.certificateFor(key.source), dialled]).catch(
      (error: unknown) => {
        // A connection that nobody will use, if it was the certificate that failed.
        dialled.then((unused) => unused.destroy()).catch(() => undefined);
        throw error;
      },
    );
    // Reset while the certificate was waited for: TLS would wait for it until the time-out.
    if (socket.destroyed) throw new Error('reset by the peer before the TLS handshake');
    const server = { name: targetName(key), acceptable: key.acceptable, certificate };
    const verified = await this.tls.secure(socket, server, signal);
    const session = new TunnelSession({
      role: 'client',
      ...verified,
      limits: this.limits.http2,
      keepalive: this.keepalive,
      resources: this.resources,
      events: this,
    });
    this.allSessions.add(session);
    return session;
  }

  /** Waiters leave the set while it is walked, which a Set allows. */
  private serveWaiters(pool: KeyPool): void {
    for (const waiter of pool.waiters) {
      if (!waiter.take()) break;
    }
    if (pool.waiters.size > 0) this.dialAsNeeded(pool);
  }

  private failWaiters(pool: KeyPool, reason: WeftError): void {
    for (const waiter of pool.waiters) waiter.reject(reason);
  }

  private releaseUnused(): void {
    const before = Date.now() - this.limits.unusedReleaseMs;
    for (const [session, { lastUsed }] of this.pooled) {
      if (lastUsed > before) continue;
      const entry = this.release(session);
      if (entry !== undefined) this.forgetIfEmpty(entry.pool);
      session.drain();
    }
  }

  private release(session: TunnelSession): PooledSession | undefined {
    const entry = this.pooled.get(session);
    if (entry === undefined) return undefined;
    this.pooled.delete(session);
    entry.pool.sessions.delete(session);
    if (entry.pool.waiters.size > 0) this.dialAsNeeded(entry.pool);
    return entry;
  }

  private poolOf(key: PoolKey): KeyPool {
    const id = keyId(key);
    let pool = this.keys.get(id);
    if (pool === undefined) {
      pool = { key, id, sessions: new Set(), waiters: new Set(), dialling: 0 };
      this.keys.set(id, pool);
    }
    return pool;
  }

  private forgetIfEmpty(pool: KeyPool): void {
    if (pool.sessions.size === 0 && pool.dialling === 0 && pool.waiters.size === 0) this.keys.delete(pool.id);
  }
}

function poolClosed(): WeftError {
  return new WeftError('WEFT1213', 'the pool is closed');
}
