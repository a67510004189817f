import type { CertificateAuthority, SignedCertificate, SigningRequest } from '@weft/spiffe';
import type { Clock, Logger } from '@weft/telemetry';
import { type RotationState, planRotation, rootsIn, rootsOf, unitedRoots } from './rotation.ts';

/** An authority as it is configured, and what it has revoked. */
export interface ConfiguredAuthority {
  readonly authority: CertificateAuthority;
  /** PEM; empty without revocations. */
  readonly crlPem: string;
}

export interface MeshAuthorityOptions extends ConfiguredAuthority {
  /** Lifetime of the certificates of proxies, which renew them at half of it and learn the roots then. */
  readonly certificateTtlMs: number;
  /** What an earlier process, or another replica, was in the middle of. */
  readonly resumed?: RotationState | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Who signs, and which roots count, while what is configured changes.
 *
 *     signing ──next, root known──────────────────────────────────────▶ signing with the next
 *        └─────next, root unknown──▶ announcing ──half of a lifetime──▶ signing with the next
 *
 * The roots that earlier certificates lead to stay in the bundle until the last of those has expired, even if they
 * are no longer configured. `rotation` is all that another process needs to go on with that.
 */
export class MeshAuthority {
  private readonly options: MeshAuthorityOptions;
  private configured: ConfiguredAuthority;
  private signer: CertificateAuthority;
  /** Its roots go round; it will sign later. */
  private announced:
    | { readonly authority: CertificateAuthority; readonly signsFrom: number; readonly cancel: () => void }
    | undefined;
  /** Roots of earlier signers. */
  private readonly retired = new Map<string, { readonly until: number; readonly cancel: () => void }>();
  private latestExpiry = 0;
  private bundle: readonly string[];
  private readonly listeners = new Set<() => void>();

  constructor(options: MeshAuthorityOptions) {
    this.options = options;
    const { resumed, authority } = options;
    this.configured = options;
    this.signer = resumed?.announced?.signer ?? authority;
    for (const { root, until } of resumed?.retired ?? []) this.retireUntil(root, until);
    this.bundle = unitedRoots(rootsIn(this.signer), [...this.retired.keys()]);
    if (resumed?.announced === undefined) return;
    const { nextPem, signsFrom } = resumed.announced;
    this.replace(options, nextPem === authority.certPem ? signsFrom : undefined);
  }

  /** All that peers have to trust now. */
  get rootsPem(): string {
    return this.bundle.join('');
  }

  get crlPem(): string {
    return this.configured.crlPem;
  }

  /** Of the signing certificate. */
  get notAfter(): Date {
    return this.signer.notAfter;
  }

  sign(request: SigningRequest): SignedCertificate {
    const signed = this.signer.sign(request);
    this.latestExpiry = Math.max(this.latestExpiry, signed.notAfter.getTime());
    return signed;
  }

  get rotation(): RotationState {
    const { announced, signer } = this;
    const retired = [...this.retired].map(([root, { until }]) => ({ root, until }));
    if (announced === undefined) return { retired };
    const { authority, signsFrom } = announced;
    return { announced: { signer, nextPem: authority.certPem, signsFrom }, retired };
  }

  /** What the rotation to an authority would begin with; undefined if it signs at once, or is announced already. */
  announcementOf({ authority }: ConfiguredAuthority): RotationState | undefined {
    const { signer, bundle, announced } = this;
    if (announced?.authority.certPem === authority.certPem) return undefined;
    if (planRotation(signer, bundle, authority).kind !== 'after its roots') return undefined;
    const signsFrom = this.knownEverywhereAt();
    return { ...this.rotation, announced: { signer, nextPem: authority.certPem, signsFrom } };
  }

  /**
   * Takes what is configured now; `subscribe` says when something came of it.
   * @param announcedFrom when it signs if nobody knows its root yet, unless that is known everywhere before
   */
  replace(next: ConfiguredAuthority, announcedFrom?: number): void {
    const before = this.configured;
    this.configured = next;
    const { authority } = next;
    if (this.announced?.authority.certPem === authority.certPem)
      return this.settle(before.crlPem !== next.crlPem);
    this.announced?.cancel();
    this.announced = undefined;
    const { clock, logger } = this.options;
    const rotation = planRotation(this.signer, this.bundle, authority);
    switch (rotation.kind) {
      case 'same signer':
        this.signer = authority;
        return this.settle(before.crlPem !== next.crlPem);
      case 'at once':
        return this.switchTo(authority);
      case 'after its roots': {
        const known = this.knownEverywhereAt();
        const signsFrom = Math.min(announcedFrom ?? known, known);
        const cancel = scheduleAt(clock, signsFrom, () => this.switchTo(authority));
        this.announced = { authority, signsFrom, cancel };
        logger.info('announcing a new root; the present one signs until proxies know it', {
          signsFrom: new Date(signsFrom).toISOString(),
        });
        return this.settle(false);
      }
    }
  }

  /** Called after each change of signer, roots or revocations. Returns how to stop. */
  subscribe(listener: () => void): () => void {
    this.listeners.add(listener);
    return () => void this.listeners.delete(listener);
  }

  close(): void {
    this.announced?.cancel();
    for (const { cancel } of this.retired.values()) cancel();
    this.retired.clear();
    this.listeners.clear();
  }

  /**
   * When every proxy has learned the roots of now: at half of their certificates' lifetime, which is no longer than
   * what is left of the signer's. Later than that, a signer that is replaced because it expires would have expired.
   */
  private knownEverywhereAt(): number {
    const { clock, certificateTtlMs } = this.options;
    const now = clock.now();
    const leftMs = Math.max(0, this.signer.notAfter.getTime() - now);
    return now + Math.min(certificateTtlMs, leftMs) / 2;
  }

  private switchTo(next: CertificateAuthority): void {
    this.retire(rootsOf(this.signer, this.bundle));
    this.announced = undefined;
    this.signer = next;
    this.options.logger.info('signing with another certificate', { expires: next.notAfter.toISOString() });
    this.settle(true);
  }

  /** Other replicas have signed, too, so that at least one usual lifetime passes. */
  private retire(roots: readonly string[]): void {
    const { clock, certificateTtlMs } = this.options;
    const delayMs = Math.max(this.latestExpiry - clock.now(), certificateTtlMs);
    for (const root of roots) this.retireUntil(root, clock.now() + delayMs);
  }

  private retireUntil(root: string, until: number): void {
    const { clock } = this.options;
    this.retired.get(root)?.cancel();
    const cancel = scheduleAt(clock, until, () => {
      this.retired.delete(root);
      this.settle(true);
    });
    this.retired.set(root, { until, cancel });
  }

  private settle(changedOtherwise: boolean): void {
    // What the present signer's certificates lead to counts for as long as it signs.
    const needed = rootsOf(this.signer, this.bundle);
    const bundle = unitedRoots(rootsIn(this.configured.authority), needed, [...this.retired.keys()]);
    const changed = changedOtherwise || bundle.join('') !== this.bundle.join('');
    this.bundle = bundle;
    if (changed) for (const listener of this.listeners) listener();
  }
}

/** However far away, where a clock's timers reach 24 days; never before this returns. */
function scheduleAt(clock: Clock, at: number, task: () => void): () => void {
  let cancel = (): void => undefined;
  const wait = (): void => {
    const left = Math.max(0, at - clock.now());
    cancel = clock.schedule(Math.min(left, DAY_MS), () => (left > DAY_MS ? wait() : task()));
  };
  wait();
  return () => cancel();
}

const DAY_MS = 24 * 3_600_000;
