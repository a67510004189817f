import { WILDCARD, type DeltaRequest, type Node } from './delta-message.ts';
import type { ServedType } from './resource-source.ts';

/** As `istioctl proxy-status` names them. */
export type SyncState = 'NOT_SENT' | 'SYNCED' | 'STALE' | 'ERROR';

export interface TypeStatus {
  readonly typeUrl: string;
  readonly state: SyncState;
  readonly wildcard: boolean;
  /** Names that an on-demand client follows. */
  readonly names: number;
  readonly sentAt?: Date;
  readonly sentNonce?: string;
  readonly acknowledgedAt?: Date;
  readonly acknowledgedNonce?: string;
  /** The proxy's words, as long as it hasn't acknowledged something newer. */
  readonly error?: string;
}

/** What a request asks to be answered with. */
export type Demand =
  | { readonly kind: 'initial'; readonly knownVersions: Readonly<Record<string, string>> }
  | { readonly kind: 'names'; readonly names: readonly string[] };

/** One connection's subscription to one type: what it wants, what it was sent, what it said about that. */
export class TypeSubscription {
  readonly type: ServedType;
  readonly typeUrl: string;
  wildcard = false;
  /** Sequence number of the last change that the first answer was made after; infinite until there is one. */
  answeredUpTo = Number.POSITIVE_INFINITY;
  readonly names = new Set<string>();
  /** Of these the ones that nobody asked for. */
  readonly implicit: ReadonlySet<string>;
  private readonly nonceBase: string;
  private sent = 0;
  private acknowledged = 0;
  /** `sentBefore`: an acknowledgement of something newer than that says the fault is over. */
  private rejection: { readonly message: string; readonly sentBefore: number } | undefined;
  private sentAt: Date | undefined;
  private acknowledgedAt: Date | undefined;

  constructor(type: ServedType, connectionId: string, node: Node) {
    this.type = type;
    this.implicit = new Set(type.source.implicitNames?.(node));
    this.typeUrl = type.source.typeUrl;
    this.nonceBase = `${connectionId}/${this.typeUrl.split('.').at(-1) ?? ''}/`;
  }

  nextNonce(now: Date): string {
    this.sentAt = now;
    return `${this.nonceBase}${++this.sent}`;
  }

  /** The first request of a type. Naming nothing means everything, unless `*` is given up in the same breath. */
  begin(request: DeltaRequest): Demand {
    const { resourceNamesSubscribe, resourceNamesUnsubscribe, initialResourceVersions } = request;
    const refused = resourceNamesUnsubscribe.includes(WILDCARD);
    this.wildcard =
      this.type.byNameOnly !== true &&
      !refused &&
      (resourceNamesSubscribe.length === 0 || resourceNamesSubscribe.includes(WILDCARD));
    this.follow(resourceNamesSubscribe, resourceNamesUnsubscribe);
    if (!this.wildcard) for (const name of this.implicit) this.names.add(name);
    return { kind: 'initial', knownVersions: initialResourceVersions };
  }

  /** A later request: an answer to a push, a change of what is wanted, or both. */
  update(request: DeltaRequest, now: Date): { readonly demand?: Demand; readonly rejected?: string } {
    const rejected = this.acknowledge(request, now);
    const { resourceNamesSubscribe, resourceNamesUnsubscribe } = request;
    const added = resourceNamesSubscribe.filter((name) => name !== WILDCARD);
    this.follow(resourceNamesSubscribe, resourceNamesUnsubscribe);
    const wasWildcard = this.wildcard;
    if (resourceNamesSubscribe.includes(WILDCARD)) this.wildcard = this.type.byNameOnly !== true;
    if (resourceNamesUnsubscribe.includes(WILDCARD)) this.wildcard = false;
    const result = rejected === undefined ? {} : { rejected };
    if (this.wildcard && !wasWildcard) return { ...result, demand: { kind: 'initial', knownVersions: {} } };
    return added.length === 0 ? result : { ...result, demand: { kind: 'names', names: added } };
  }

  get status(): TypeStatus {
    const { typeUrl, wildcard, sentAt, acknowledgedAt, rejection } = this;
    return {
      typeUrl,
      state: this.state,
      wildcard,
      names: this.names.size,
      ...(sentAt === undefined ? {} : { sentAt, sentNonce: `${this.nonceBase}${this.sent}` }),
      ...(acknowledgedAt === undefined
        ? {}
        : { acknowledgedAt, acknowledgedNonce: `${this.nonceBase}${this.acknowledged}` }),
      ...(rejection === undefined ? {} : { error: rejection.message }),
    };
  }

  private get state(): SyncState {
    if (this.rejection !== undefined) return 'ERROR';
    if (this.sent === 0) return 'NOT_SENT';
    return this.acknowledged === this.sent ? 'SYNCED' : 'STALE';
  }

  /** The message of a NACK. Nonces that aren't ours, or go backwards, say nothing. */
  private acknowledge({ responseNonce, errorDetail }: DeltaRequest, now: Date): string | undefined {
    if (!responseNonce.startsWith(this.nonceBase)) return undefined;
    const number = Number(responseNonce.slice(this.nonceBase.length));
    if (!Number.isInteger(number) || number <= this.acknowledged || number > this.sent) return undefined;
    this.acknowledged = number;
    this.acknowledgedAt = now;
    if (errorDetail !== null && errorDetail !== undefined) {
      this.rejection = {
        message: (errorDetail.message ?? '').slice(0, MAX_ERROR_LENGTH),
        sentBefore: this.sent,
      };
      return this.rejection.message;
    }
    if (this.rejection !== undefined && number > this.rejection.sentBefore) this.rejection = undefined;
    return undefined;
  }

  private follow(subscribe: readonly string[], unsubscribe: readonly string[]): void {
    for (const name of unsubscribe) this.names.delete(name);
    for (const name of subscribe) if (name !== WILDCARD) this.names.add(name);
  }
}

const MAX_ERROR_LENGTH = 4 * 1024;
