import {
  Backoff,
  WeftError,
  describeError,
  silentLogger,
  systemClock,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import type { CaClient } from './ca-client.ts';
import type { SpiffeId } from './identity.ts';
import type { WorkloadCertificate } from './workload-certificate.ts';

export interface CertificateSourceOptions {
  readonly client: CaClient;
  readonly maxInFlight?: number;
  readonly maxIdentities?: number;
  /** At each new certificate, the first one of an identity and every renewal. */
  readonly onCertificate?: (certificate: WorkloadCertificate) => void;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

export type CertificateState =
  | { readonly identity: SpiffeId; readonly state: 'initializing' }
  | {
      readonly identity: SpiffeId;
      readonly state: 'available';
      readonly certificate: WorkloadCertificate;
      readonly lastError?: string;
    }
  | { readonly identity: SpiffeId; readonly state: 'unavailable'; readonly lastError: string };

/** Requests to the certificate authority that may be under way at once. */
export const MAX_CSRS_IN_FLIGHT = 8;
export const MAX_IDENTITIES = 10_000;
const INITIAL_RETRY_MS = 1_000;
const MAX_RETRY_MS = 150_000;
/** Floor between two refreshes of one identity, whatever lifetime an authority hands out. */
const MIN_REFRESH_MS = 1_000;

/** A connection waits; a workload has just arrived; a certificate passed half of its life. */
const priorities = ['realtime', 'warmup', 'background'] as const;
type Priority = (typeof priorities)[number];

interface Waiter {
  readonly resolve: (certificate: WorkloadCertificate) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One identity's certificate.
 *
 *     idle ──request──▶ queued(priority) ──slot free──▶ fetching ──success──▶ idle until half of its life
 *                        ▲                                 └─────failure──▶ idle until the back-off ends
 *                        └─ a connection that waits raises the priority
 *
 * A certificate stays in use until it expires, whatever happens to its renewal.
 */
interface Entry {
  readonly identity: SpiffeId;
  readonly waiters: Set<Waiter>;
  readonly backoff: Backoff;
  activity: { readonly kind: 'idle' | 'fetching' } | { readonly kind: 'queued'; readonly priority: Priority };
  certificate: WorkloadCertificate | undefined;
  lastError: unknown;
  cancelTimer: () => void;
  readonly forgotten: AbortController;
}

/** Current certificates of many identities, renewed at half of their life, at most eight requests at a time. */
export class CertificateSource {
  private readonly options: CertificateSourceOptions;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly entries = new Map<SpiffeId, Entry>();
  // Sets keep insertion order, which makes each a queue from which an entry can be taken to a higher priority.
  private readonly queues: Readonly<Record<Priority, Set<Entry>>> = {
    realtime: new Set(),
    warmup: new Set(),
    background: new Set(),
  };
  private inFlight = 0;
  private closed = false;

  constructor(options: CertificateSourceOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
  }

  /** The valid certificate, if there is one now. Never waits and asks nobody. */
  current(identity: SpiffeId): WorkloadCertificate | undefined {
    const entry = this.entries.get(identity);
    return entry === undefined ? undefined : this.validCertificate(entry);
  }

  /**
   * The current certificate; the first time it is requested ahead of everything else. While the last attempt failed
   * and nothing valid is left, the failure is reported at once, as each connection waiting for itself would make an
   * outage of the authority one of this process.
   * @throws WEFT1604, WEFT1605 by the authority; WEFT1606, WEFT1607
   */
  async get(identity: SpiffeId, signal?: AbortSignal): Promise<WorkloadCertificate> {
    const entry = this.entryOf(identity);
    const certificate = this.validCertificate(entry);
    if (certificate !== undefined) return certificate;
    if (entry.lastError !== undefined) throw entry.lastError;
    signal?.throwIfAborted();
    this.enqueue(entry, 'realtime');
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        entry.waiters.delete(waiter);
        signal?.removeEventListener('abort', abandon);
      };
      const abandon = (): void => {
        leave();
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        resolve: (value) => (leave(), resolve(value)),
        reject: (error) => (leave(), reject(error)),
      };
      entry.waiters.add(waiter);
      signal?.addEventListener('abort', abandon, { once: true });
    });
  }

  /** Asks for the certificate before a connection needs it, if there is room for it. */
  prefetch(identity: SpiffeId): void {
    if (this.isFull && !this.entries.has(identity)) return;
    const entry = this.entryOf(identity);
    if (entry.certificate === undefined && entry.lastError === undefined) this.enqueue(entry, 'warmup');
  }

  /** Drops the certificate and its key; whoever waits for it gets WEFT1606. */
  forget(identity: SpiffeId): void {
    const entry = this.entries.get(identity);
    if (entry === undefined) return;
    this.entries.delete(identity);
    entry.cancelTimer();
    entry.forgotten.abort();
    for (const priority of priorities) this.queues[priority].delete(entry);
    for (const waiter of entry.waiters) waiter.reject(new WeftError('WEFT1606', `${identity} was forgotten`));
  }

  states(): readonly CertificateState[] {
    return [...this.entries.values()].map((entry): CertificateState => {
      const { identity } = entry;
      const certificate = this.validCertificate(entry);
      const failure = entry.lastError === undefined ? {} : { lastError: describeError(entry.lastError) };
      if (certificate !== undefined) return { identity, state: 'available', certificate, ...failure };
      return failure.lastError === undefined
        ? { identity, state: 'initializing' }
        : { identity, state: 'unavailable', lastError: failure.lastError };
    });
  }

  close(): void {
    this.closed = true;
    for (const identity of this.entries.keys()) this.forget(identity);
  }

  private get isFull(): boolean {
    return this.entries.size >= (this.options.maxIdentities ?? MAX_IDENTITIES);
  }

  private entryOf(identity: SpiffeId): Entry {
    const known = this.entries.get(identity);
    if (known !== undefined) return known;
    const { random } = this.options;
    if (this.closed) throw new WeftError('WEFT1606', 'the certificate source is closed');
    if (this.isFull) {
      throw new WeftError('WEFT1607', `certificates of ${this.entries.size} identities are kept already`);
    }
    const entry: Entry = {
      identity,
      waiters: new Set(),
      backoff: new Backoff({
        initialMs: INITIAL_RETRY_MS,
        maxMs: MAX_RETRY_MS,
        ...(random === undefined ? {} : { random }),
      }),
      activity: { kind: 'idle' },
      certificate: undefined,
      lastError: undefined,
      cancelTimer: () => undefined,
      forgotten: new AbortController(),
    };
    this.entries.set(identity, entry);
    return entry;
  }

  private validCertificate({ certificate }: Entry): WorkloadCertificate | undefined {
    return certificate !== undefined && certificate.notAfter.getTime() > this.clock.now()
      ? certificate
      : undefined;
  }

  private enqueue(entry: Entry, priority: Priority): void {
    const { activity } = entry;
    if (activity.kind === 'fetching') return;
    if (activity.kind === 'queued') {
      if (priorities.indexOf(activity.priority) <= priorities.indexOf(priority)) return;
      this.queues[activity.priority].delete(entry);
    }
    entry.cancelTimer();
    entry.activity = { kind: 'queued', priority };
    this.queues[priority].add(entry);
    this.startNext();
  }

  private startNext(): void {
    while (this.inFlight < (this.options.maxInFlight ?? MAX_CSRS_IN_FLIGHT)) {
      const queue = priorities.map((p) => this.queues[p]).find((q) => q.size > 0);
      const [entry] = queue ?? [];
      if (queue === undefined || entry === undefined) return;
      queue.delete(entry);
      entry.activity = { kind: 'fetching' };
      this.inFlight++;
      void this.fetch(entry).finally(() => {
        this.inFlight--;
        this.startNext();
      });
    }
  }

  private async fetch(entry: Entry): Promise<void> {
    const { identity } = entry;
    try {
      const certificate = await this.options.client.fetchCertificate(identity, entry.forgotten.signal);
      if (entry.forgotten.signal.aborted) return;
      if (certificate.notAfter.getTime() <= this.clock.now()) {
        throw new WeftError('WEFT1605', `the certificate for ${identity} has expired already`);
      }
      entry.certificate = certificate;
      entry.lastError = undefined;
      entry.activity = { kind: 'idle' };
      entry.backoff.reset();
      for (const waiter of entry.waiters) waiter.resolve(certificate);
      this.options.onCertificate?.(certificate);
      const halfLife = (certificate.notBefore.getTime() + certificate.notAfter.getTime()) / 2;
      this.fetchAfter(entry, Math.max(MIN_REFRESH_MS, halfLife - this.clock.now()));
    } catch (error) {
      if (entry.forgotten.signal.aborted) return;
      entry.lastError = error;
      entry.activity = { kind: 'idle' };
      this.logger.warn('cannot get certificate', { identity, error: describeError(error) });
      for (const waiter of entry.waiters) waiter.reject(error);
      const left =
        (this.validCertificate(entry)?.notAfter.getTime() ?? Number.POSITIVE_INFINITY) - this.clock.now();
      this.fetchAfter(entry, Math.min(entry.backoff.next(), Math.max(left, MIN_REFRESH_MS)));
    }
  }

  private fetchAfter(entry: Entry, delayMs: number): void {
    entry.cancelTimer = this.clock.schedule(delayMs, () => this.enqueue(entry, 'background'));
  }
}
