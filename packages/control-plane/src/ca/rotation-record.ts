import { X509Certificate } from 'node:crypto';
import { CA_ROTATION_SECRET, CA_ROTATION_SECRET_TYPE } from '@weft/api';
import { type KubernetesClient, type Secret, isConflict, isNotFound, resources } from '@weft/kubernetes';
import { type AuthorityPems, CertificateAuthority } from '@weft/spiffe';
import { type Clock, WeftError } from '@weft/telemetry';
import type { RotationState } from './rotation.ts';

export interface RotationRecordOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create' | 'replace' | 'delete'>;
  readonly namespace: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** The entry that is no PEM. */
const STATE_KEY = 'rotation.json';
const pemKeys = {
  certPem: 'ca-cert.pem',
  keyPem: 'ca-key.pem',
  chainPem: 'cert-chain.pem',
  rootsPem: 'root-cert.pem',
} as const satisfies Readonly<Record<keyof AuthorityPems, string>>;
const MAX_ATTEMPTS = 5;

/**
 * What a rotation has come to, in a Secret of the system namespace: while a root goes round, the authority that still
 * signs, as its files are no longer mounted; and the roots that certificates in use lead to. Replicas share it, and
 * one that starts in the middle goes on from there. Without a rotation there is none.
 */
export class RotationRecord {
  private readonly options: RotationRecordOptions;

  constructor(options: RotationRecordOptions) {
    this.options = options;
  }

  /** @throws WEFT1809 when it can't be understood, and what the client throws */
  async read(): Promise<RotationState | undefined> {
    const secret = await this.get();
    return secret === undefined ? undefined : this.parse(secret);
  }

  /**
   * Announces an authority, unless another replica has: what is recorded of that counts.
   * @returns since when the announced one signs
   */
  async announce(state: RotationState): Promise<number> {
    const { announced } = await this.change((recorded) => {
      const isKnown = recorded?.announced !== undefined && isSameAnnouncement(recorded, state);
      return { ...state, ...(isKnown ? { announced: recorded.announced } : {}) };
    });
    return announced?.signsFrom ?? this.options.clock.now();
  }

  async save(state: RotationState): Promise<void> {
    await this.change(() => state);
  }

  /** Roots that other replicas wait for stay. */
  private async change(next: (recorded: RotationState | undefined) => RotationState): Promise<RotationState> {
    const { client, namespace, clock, signal } = this.options;
    for (let attempt = 1; ; attempt++) {
      const secret = await this.get();
      const recorded = secret === undefined ? undefined : this.parse(secret);
      const planned = next(recorded);
      const state = { ...planned, retired: mergeRetired(clock.now(), recorded?.retired, planned.retired) };
      try {
        if (isOver(state)) {
          if (secret !== undefined)
            await client.delete(resources.secrets, CA_ROTATION_SECRET, namespace, { signal });
        } else if (secret === undefined) {
          await client.create(resources.secrets, toSecret(state, namespace), { signal });
        } else {
          const { data = {}, ...rest } = toSecret(state, namespace);
          const metadata = { ...secret.metadata, ...rest.metadata };
          await client.replace(resources.secrets, { ...rest, metadata, data }, { signal });
        }
        return state;
      } catch (error) {
        if (isNotFound(error) && isOver(state)) return state;
        if (!isConflict(error) || attempt >= MAX_ATTEMPTS) throw error;
      }
    }
  }

  private async get(): Promise<Secret | undefined> {
    const { client, namespace, signal } = this.options;
    try {
      return await client.get(resources.secrets, CA_ROTATION_SECRET, namespace, { signal });
    } catch (error) {
      if (isNotFound(error)) return undefined;
      throw error;
    }
  }

  private parse({ data = {} }: Secret): RotationState {
    const { namespace } = this.options;
    const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
    try {
      const recorded = JSON.parse(text(STATE_KEY)) as Partial<RecordedState>; // checked field by field
      const retired = (recorded.retired ?? []).map(({ root, until }) => ({
        root: checkedRoot(root),
        until: timeOf(until),
      }));
      const { next, signsFrom } = recorded;
      if (next === undefined || signsFrom === undefined) return { retired };
      // Nothing that it signed is of any use by now, and nobody has to wait for it.
      if (Date.parse(new X509Certificate(text(pemKeys.certPem)).validTo) <= this.options.clock.now())
        return { retired };
      const pems = Object.entries(pemKeys).map(([name, key]) => [name, text(key)]);
      const signer = CertificateAuthority.load(Object.fromEntries(pems) as AuthorityPems); // of its own keys
      return { retired, announced: { signer, nextPem: next, signsFrom: timeOf(signsFrom) } };
    } catch (error) {
      throw new WeftError('WEFT1809', `Secret ${namespace}/${CA_ROTATION_SECRET}`, { cause: error });
    }
  }
}

interface RecordedState {
  /** The announced signing certificate, PEM. */
  readonly next?: string;
  readonly signsFrom?: string;
  readonly retired: readonly { readonly root: string; readonly until: string }[];
}

function toSecret({ announced, retired }: RotationState, namespace: string): Secret {
  const recorded: RecordedState = {
    ...(announced === undefined
      ? {}
      : { next: announced.nextPem, signsFrom: new Date(announced.signsFrom).toISOString() }),
    retired: retired.map(({ root, until }) => ({ root, until: new Date(until).toISOString() })),
  };
  const signer = announced?.signer;
  const entries: Record<string, string> = {
    [STATE_KEY]: JSON.stringify(recorded),
    // Its key is kept no longer than it signs.
    ...(signer === undefined
      ? {}
      : {
          [pemKeys.certPem]: signer.certPem,
          [pemKeys.keyPem]: signer.keyPem,
          [pemKeys.chainPem]: signer.intermediatesPem.join(''),
          [pemKeys.rootsPem]: signer.rootsPem,
        }),
  };
  const data = Object.entries(entries).map(([key, text]) => [key, Buffer.from(text).toString('base64')]);
  return {
    metadata: { name: CA_ROTATION_SECRET, namespace },
    type: CA_ROTATION_SECRET_TYPE,
    data: Object.fromEntries(data) as Record<string, string>, // of pairs of strings
  };
}

function isSameAnnouncement(a: RotationState, b: RotationState): boolean {
  return a.announced?.nextPem === b.announced?.nextPem;
}

function isOver({ announced, retired }: RotationState): boolean {
  return announced === undefined && retired.length === 0;
}

function mergeRetired(
  now: number,
  ...lists: readonly (RotationState['retired'] | undefined)[]
): RotationState['retired'] {
  const latest = new Map<string, number>();
  for (const { root, until } of lists.flatMap((list) => list ?? []))
    if (until > now) latest.set(root, Math.max(until, latest.get(root) ?? 0));
  return [...latest].map(([root, until]) => ({ root, until }));
}

/** All of the mesh are told to trust it. */
function checkedRoot(pem: string): string {
  if (!new X509Certificate(pem).ca) throw new Error('a retired root is no certificate authority');
  return pem;
}

function timeOf(text: string): number {
  const time = Date.parse(text);
  if (Number.isNaN(time)) throw new Error(`${text} is no time`);
  return time;
}
