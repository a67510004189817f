/**
 * What the engine does with the fields of one message. Data, beside the code: whoever teaches the engine a field says so
 * here, and `docs/compatibility.md` is written from it. A field that isn't named is refused when it is set.
 */
export interface MessageSupport {
  /** Fields that have their effect, separated by spaces, by the test that shows it; its path is under `src`. */
  readonly works?: Readonly<Record<string, string>>;
  /** Fields that are accepted and change nothing that a client, a server or an operator could tell, by the reason. */
  readonly ignored?: Readonly<Record<string, string>>;
  /**
   * Values of a field of those above, other than its default, to which that is limited: names of an enum, numbers,
   * `true` and `false`.
   */
  readonly only?: Readonly<Record<string, readonly string[]>>;
  /**
   * Fields of those above whose `Any` may hold a type that has no table, because whoever compiles it has more to say:
   * an optional filter is left out, the first known load-balancing policy is taken.
   */
  readonly open?: string;
}

/** By the message's full name. */
export type SupportTable = Readonly<Record<string, MessageSupport>>;

export type FieldState =
  | { readonly kind: 'works'; readonly test: string }
  | { readonly kind: 'ignored'; readonly reason: string }
  | { readonly kind: 'nacked' };

/** One message's table, by field. */
export class MessageStates {
  private readonly states = new Map<string, FieldState>();
  private readonly only: NonNullable<MessageSupport['only']>;
  private readonly open: ReadonlySet<string>;

  constructor(support: MessageSupport) {
    for (const [test, fields] of Object.entries(support.works ?? {})) {
      for (const field of words(fields)) this.states.set(field, { kind: 'works', test });
    }
    for (const [reason, fields] of Object.entries(support.ignored ?? {})) {
      for (const field of words(fields)) this.states.set(field, { kind: 'ignored', reason });
    }
    this.only = support.only ?? {};
    this.open = new Set(words(support.open ?? ''));
  }

  of(field: string): FieldState {
    return this.states.get(field) ?? NACKED;
  }

  /** The values that are accepted beside the default; undefined: all. */
  valuesOf(field: string): readonly string[] | undefined {
    return this.only[field];
  }

  acceptsAnyType(field: string): boolean {
    return this.open.has(field);
  }
}

const NACKED: FieldState = { kind: 'nacked' };

/** @returns the words of a list of fields, of any spacing. */
export function words(list: string): readonly string[] {
  return list.split(/\s+/).filter((word) => word !== '');
}
