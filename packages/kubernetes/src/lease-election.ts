import { describeError, silentLogger, systemClock, type Clock, type Logger } from '@weft/telemetry';
import type { KubernetesClient } from './client.ts';
import { isConflict, isNotFound } from './errors.ts';
import type { Lease } from './objects.ts';
import { resources } from './resources.ts';

export interface LeaseElectionOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create' | 'replace'>;
  readonly name: string;
  readonly namespace: string;
  /** Unique among the candidates: the pod's name. */
  readonly identity: string;
  /** Called each time this candidate wins; the signal aborts when it no longer leads. */
  readonly onElected: (leadership: AbortSignal) => void;
  readonly signal: AbortSignal;
  /** Others wait this long after the last renewal they saw. */
  readonly leaseDurationMs?: number;
  /** A leader that couldn't renew for this long stops leading, well before others may start. */
  readonly renewDeadlineMs?: number;
  readonly retryPeriodMs?: number;
  readonly logger?: Logger;
  readonly clock?: Clock;
  readonly random?: () => number;
}

const LEASE_DURATION_MS = 30_000;
const RENEW_DEADLINE_MS = 20_000;
const RETRY_PERIOD_MS = 5_000;

type Attempt = 'held' | 'taken' | 'failed';

/**
 * One leader among replicas, by a Lease object. Starts at once; when the signal aborts, a leader gives the lease back.
 *
 *     candidate ──held──▶ leader ──taken, or no renewal before the deadline──▶ candidate
 *
 * Clocks of candidates aren't compared: a lease is stale when *we* have seen no change of it for its duration.
 */
export class LeaseElection {
  /** Resolves when the candidate has withdrawn. */
  readonly done: Promise<void>;
  private readonly options: LeaseElectionOptions;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private leading = false;
  private observed: { readonly spec: string; readonly at: number } | undefined;

  constructor(options: LeaseElectionOptions) {
    this.options = options;
    this.clock = options.clock ?? systemClock;
    this.logger = options.logger ?? silentLogger;
    this.done = this.run();
  }

  get isLeader(): boolean {
    return this.leading;
  }

  private async run(): Promise<void> {
    const { signal, retryPeriodMs = RETRY_PERIOD_MS, random = Math.random } = this.options;
    while (!signal.aborted) {
      if ((await this.attempt()) === 'held') await this.lead();
      await this.clock.sleep(retryPeriodMs * (1 + 0.2 * random()), signal);
    }
  }

  private async lead(): Promise<void> {
    const { name, identity, onElected, signal } = this.options;
    const { renewDeadlineMs = RENEW_DEADLINE_MS, retryPeriodMs = RETRY_PERIOD_MS } = this.options;
    const leadership = new AbortController();
    this.leading = true;
    this.logger.info('became leader', { lease: name, identity });
    onElected(leadership.signal);
    let renewedAt = this.clock.now();
    while (!signal.aborted) {
      await this.clock.sleep(retryPeriodMs, signal);
      if (signal.aborted) break;
      const outcome = await this.attempt(renewedAt + renewDeadlineMs - this.clock.now());
      if (outcome === 'held') renewedAt = this.clock.now();
      else if (outcome === 'taken' || this.clock.now() - renewedAt >= renewDeadlineMs) break;
    }
    this.leading = false;
    leadership.abort();
    this.logger.info('no longer leader', { lease: name, identity });
    if (signal.aborted) await this.release();
  }

  /** Takes the lease if it is free, ours or stale. */
  private async attempt(timeoutMs?: number): Promise<Attempt> {
    const { renewDeadlineMs = RENEW_DEADLINE_MS } = this.options;
    const timeout = new AbortController();
    const cancel = this.clock.schedule(timeoutMs ?? renewDeadlineMs, () => timeout.abort());
    const withdraw = (): void => timeout.abort();
    this.options.signal.addEventListener('abort', withdraw, { once: true });
    try {
      return await this.takeOrRenew(timeout.signal);
    } catch (error) {
      // Somebody else wrote between our read and our write; the next round sees what.
      if (!isConflict(error) && !this.options.signal.aborted) {
        this.logger.warn('cannot renew lease', { lease: this.options.name, error: describeError(error) });
      }
      return 'failed';
    } finally {
      cancel();
      this.options.signal.removeEventListener('abort', withdraw);
    }
  }

  private async takeOrRenew(signal: AbortSignal): Promise<Attempt> {
    const { client, name, namespace, identity, leaseDurationMs = LEASE_DURATION_MS } = this.options;
    const now = microTime(this.clock.now());
    const claim = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(leaseDurationMs / 1_000),
      renewTime: now,
    };
    let lease: Lease;
    try {
      lease = await client.get(resources.leases, name, namespace, { signal });
    } catch (error) {
      if (!isNotFound(error)) throw error;
      const spec = { ...claim, acquireTime: now, leaseTransitions: 0 };
      this.observe(
        await client.create(resources.leases, { metadata: { name, namespace }, spec }, { signal }),
      );
      return 'held';
    }
    this.observe(lease);
    const {
      holderIdentity = '',
      leaseDurationSeconds = 0,
      acquireTime = now,
      leaseTransitions = 0,
    } = lease.spec ?? {};
    const ours = holderIdentity === identity;
    const observedAt = this.observed?.at ?? this.clock.now();
    if (!ours && holderIdentity !== '' && this.clock.now() < observedAt + leaseDurationSeconds * 1_000)
      return 'taken';
    const spec = {
      ...claim,
      acquireTime: ours ? acquireTime : now,
      leaseTransitions: ours ? leaseTransitions : leaseTransitions + 1,
    };
    this.observe(await client.replace(resources.leases, { ...lease, spec }, { signal }));
    return 'held';
  }

  private observe(lease: Lease): void {
    const spec = JSON.stringify(lease.spec ?? {});
    if (this.observed?.spec !== spec) this.observed = { spec, at: this.clock.now() };
  }

  // Lets the next candidate take over at once. A failure only means that it has to wait for the lease to run out.
  private async release(): Promise<void> {
    const { client, name, namespace, identity, renewDeadlineMs = RENEW_DEADLINE_MS } = this.options;
    const timeout = new AbortController();
    const cancel = this.clock.schedule(renewDeadlineMs, () => timeout.abort());
    try {
      const lease = await client.get(resources.leases, name, namespace, { signal: timeout.signal });
      if (lease.spec?.holderIdentity !== identity) return;
      const spec = {
        ...lease.spec,
        holderIdentity: '',
        leaseDurationSeconds: 1,
        renewTime: microTime(this.clock.now()),
      };
      await client.replace(resources.leases, { ...lease, spec }, { signal: timeout.signal });
    } catch (error) {
      this.logger.warn('cannot release lease', { lease: name, error: describeError(error) });
    } finally {
      cancel();
    }
  }
}

/** Kubernetes' MicroTime. */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace('Z', '000Z');
}
