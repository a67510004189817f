import { compactVerify, type JWK } from 'jose';
import type { Clock } from '@weft/telemetry';
import { JwtFailure, type ParsedJwt } from './token.ts';

/** Most keys of one set; what is beyond is not looked at. */
export const MAX_KEYS = 100;
/** After a failed fetch, requests fail at once for this long instead of asking again. */
export const FAILED_FETCH_HOLD_MS = 1_000;

/** How long before their end keys that are fetched ahead are fetched again. */
const REFRESH_AHEAD_MS = 5_000;

export type Jwks = readonly JWK[];

/** Throws when the text is no key set. */
export function parseJwks(text: string): Jwks {
  const document: unknown = JSON.parse(text);
  if (typeof document !== 'object' || document === null || !('keys' in document)) {
    throw new Error('no JSON Web Key Set: member "keys" is missing');
  }
  const { keys } = document;
  if (!Array.isArray(keys)) throw new Error('no JSON Web Key Set: "keys" is no list');
  const usable = keys.filter((key): key is JWK => typeof key === 'object' && key !== null && 'kty' in key);
  if (usable.length === 0) throw new Error('the JSON Web Key Set holds no key');
  return usable.slice(0, MAX_KEYS);
}

/** Tries the keys whose id and algorithm don't contradict the token's. */
export async function verifySignature(jwt: ParsedJwt, jwks: Jwks): Promise<'ok' | JwtFailure> {
  let candidates = 0;
  for (const key of jwks) {
    if (jwt.keyId !== undefined && key.kid !== undefined && key.kid !== jwt.keyId) continue;
    if (key.alg !== undefined && key.alg !== jwt.algorithm) continue;
    if (key.kty !== keyType(jwt.algorithm)) continue;
    candidates++;
    try {
      await compactVerify(jwt.text, key, { algorithms: [jwt.algorithm] });
      return 'ok';
    } catch {
      // A wrong signature, or a key that is no key: the next candidate decides.
    }
  }
  return candidates === 0 ? JwtFailure.noKey : JwtFailure.signature;
}

function keyType(algorithm: string): string {
  if (algorithm.startsWith('HS')) return 'oct';
  if (algorithm.startsWith('ES')) return 'EC';
  return algorithm === 'EdDSA' ? 'OKP' : 'RSA';
}

export interface JwksSource {
  /** Undefined when there are no valid keys now. Never rejects. */
  get(): Promise<Jwks | undefined>;
  close(): void;
}

export function inlineJwks(jwks: Jwks): JwksSource {
  return { get: () => Promise.resolve(jwks), close: () => undefined };
}

export interface RemoteJwksOptions {
  readonly clock: Clock;
  readonly cacheDurationMs: number;
  /** Fetches ahead of need: at once, and again before the keys are too old, or this long after a failure. */
  readonly ahead?: { readonly afterFailureMs: number };
  readonly retry?: FetchRetry;
  /** Fetches the document; rejects when that fails. */
  readonly fetch: (signal: AbortSignal) => Promise<string>;
  readonly onFetch?: (outcome: 'success' | 'failure', error?: unknown) => void;
}

/** Attempts after a failed one, each after a random part of an interval that doubles. */
export interface FetchRetry {
  readonly retries: number;
  readonly baseIntervalMs: number;
  readonly maxIntervalMs: number;
  readonly random: () => number;
}

/**
 * Keys from a server, fetched when a token needs them, or ahead of that, and kept for the cache duration. All requests
 * of the moment share one fetch. When it fails they are denied, and so is everything for the hold time: a server that
 * is down is not made worse, and nothing is verified with keys that may have been revoked.
 */
export class RemoteJwks implements JwksSource {
  private readonly options: RemoteJwksOptions;
  private readonly lifetime = new AbortController();
  private fresh: { readonly jwks: Jwks; readonly untilMs: number } | undefined;
  private holdUntilMs = 0;
  private pending: Promise<Jwks | undefined> | undefined;
  private cancelNext = (): void => undefined;

  constructor(options: RemoteJwksOptions) {
    this.options = options;
  }

  get(): Promise<Jwks | undefined> {
    const now = this.options.clock.now();
    if (this.fresh !== undefined && now < this.fresh.untilMs) return Promise.resolve(this.fresh.jwks);
    if (now < this.holdUntilMs || this.lifetime.signal.aborted) return Promise.resolve(undefined);
    return this.refresh();
  }

  /** Fetches now, whatever there is. With `ahead`, it goes on by itself until this is closed. */
  refresh(): Promise<Jwks | undefined> {
    this.pending ??= this.fetch().then((jwks) => {
      this.pending = undefined;
      this.scheduleNext(jwks !== undefined);
      return jwks;
    });
    return this.pending;
  }

  close(): void {
    this.cancelNext();
    this.lifetime.abort();
  }

  private scheduleNext(succeeded: boolean): void {
    const { clock, cacheDurationMs, ahead } = this.options;
    if (ahead === undefined || this.lifetime.signal.aborted) return;
    // Short-lived keys must not be fetched without pause.
    const early = Math.max(cacheDurationMs - REFRESH_AHEAD_MS, cacheDurationMs / 2);
    this.cancelNext();
    this.cancelNext = clock.schedule(succeeded ? early : ahead.afterFailureMs, () => void this.refresh());
  }

  private async fetchWithRetries(): Promise<Jwks> {
    const { clock, fetch, retry } = this.options;
    const { signal } = this.lifetime;
    for (let attempt = 0; ; attempt++) {
      try {
        return parseJwks(await fetch(signal));
      } catch (error) {
        if (retry === undefined || attempt >= retry.retries || signal.aborted) throw error;
        const interval = Math.min(retry.baseIntervalMs * 2 ** attempt, retry.maxIntervalMs);
        await clock.sleep(retry.random() * interval, signal);
      }
    }
  }

  private async fetch(): Promise<Jwks | undefined> {
    const { clock, cacheDurationMs, onFetch } = this.options;
    try {
      const jwks = await this.fetchWithRetries();
      this.fresh = { jwks, untilMs: clock.now() + cacheDurationMs };
      onFetch?.('success');
      return jwks;
    } catch (error) {
      this.holdUntilMs = clock.now() + FAILED_FETCH_HOLD_MS;
      onFetch?.('failure', error);
      return undefined;
    }
  }
}
