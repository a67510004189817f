import { WeftError, type Clock, type Logger } from '@weft/telemetry';
import { envoy } from '@weft/api/discovery';
import type { Node } from './delta-message.ts';
import type { ResourceSource, ServedType } from './resource-source.ts';
import { TypeSubscription, type TypeStatus } from './type-subscription.ts';

/** Names that one on-demand client may follow. */
export const MAX_NAMES = 100_000;
/** What a client says of itself is kept as long as its stream: room for all annotations that a pod can have. */
export const MAX_NODE_BYTES = 320 * 1024;
const MAX_NODE_ID_LENGTH = 1_024;
/** Of one stream, that are logged. */
const MAX_UNSERVED_TYPES = 16;
const MAX_LOGGED_LENGTH = 256;

/** Names that changed, by source, each with the sequence number of its last change. */
export type ChangedNames = ReadonlyMap<ResourceSource, ReadonlyMap<string, number>>;

/** What a change means to a stream. */
export interface ConcernedSubscription {
  readonly subscription: TypeSubscription;
  /** Without what the first answer has shown already. */
  readonly names: readonly string[];
}

export interface StreamSubscriptionsOptions {
  /** Of the connection. */
  readonly id: string;
  /** What this client is offered, once it has said who it is. Throws WEFT1504 for a node that it may not be. */
  readonly typesFor: (node: Node) => readonly ServedType[];
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What is sent in a request, whichever wire it is of. */
interface StreamRequest {
  readonly typeUrl: string;
  readonly node?: Node | null;
}

/** Who is at the other end of a stream, and what it follows. */
export class StreamSubscriptions {
  node: Node | undefined;
  private readonly options: StreamSubscriptionsOptions;
  private types: readonly ServedType[] = [];
  private readonly byType = new Map<string, TypeSubscription>();
  private readonly unserved = new Set<string>();

  constructor(options: StreamSubscriptionsOptions) {
    this.options = options;
  }

  /**
   * The subscription that a request is about, made by the first request of its type; undefined for a type that isn't
   * served.
   * @throws WEFT1505 for a first request without a node, or with one that is too long
   */
  of({
    node,
    typeUrl,
  }: StreamRequest): { readonly subscription: TypeSubscription; readonly isNew: boolean } | undefined {
    if (this.node === undefined) {
      if (node === null || node === undefined)
        throw new WeftError('WEFT1505', 'the first request carries no node');
      checkNode(node);
      this.types = this.options.typesFor(node);
      this.node = node;
    }
    const known = this.byType.get(typeUrl);
    if (known !== undefined) return { subscription: known, isNew: false };
    const type = this.types.find(({ source }) => source.typeUrl === typeUrl);
    if (type === undefined) {
      this.warnOfUnserved(typeUrl.slice(0, MAX_LOGGED_LENGTH));
      return undefined;
    }
    const subscription = new TypeSubscription(type, this.options.id, this.node);
    this.byType.set(typeUrl, subscription);
    return { subscription, isNew: true };
  }

  /** In the order of a push. */
  list(): readonly TypeSubscription[] {
    return this.types.flatMap(({ source }) => this.byType.get(source.typeUrl) ?? []);
  }

  get status(): readonly TypeStatus[] {
    return this.list().map(({ status }) => status);
  }

  /** After each type that changed, what the client follows of other types and has to get again then. */
  *concerned(changes: ChangedNames): Iterable<ConcernedSubscription> {
    for (const [source, changed] of changes) {
      const subscription = this.byType.get(source.typeUrl);
      // Another client's source of the same type is none of ours.
      if (subscription?.type.source !== source) continue;
      const { answeredUpTo } = subscription;
      const names = [...changed].flatMap(([name, sequence]) => (sequence > answeredUpTo ? [name] : []));
      if (names.length === 0) continue;
      yield { subscription, names };
      yield* this.completions(source, new Set(names));
    }
  }

  /** Once, and not of everything that a client can think of. */
  private warnOfUnserved(typeUrl: string): void {
    if (this.unserved.has(typeUrl) || this.unserved.size >= MAX_UNSERVED_TYPES) return;
    this.unserved.add(typeUrl);
    this.options.logger.warn('request for a type that is not served', { node: this.node?.id, typeUrl });
  }

  private completions(
    source: ResourceSource,
    changed: ReadonlySet<string>,
  ): readonly ConcernedSubscription[] {
    const present = (name: string): boolean => changed.has(name) && source.get(name) !== undefined;
    return this.list().flatMap((subscription) => {
      const { completes } = subscription.type;
      if (completes?.typeUrl !== source.typeUrl) return [];
      return [
        { subscription, names: [...subscription.names].filter((name) => present(completes.named(name))) },
      ];
    });
  }
}

/** @throws WEFT1505 */
function checkNode(node: Node): void {
  const bytes = envoy.config.core.v3.Node.encode(node).finish().length;
  if (bytes > MAX_NODE_BYTES || (node.id?.length ?? 0) > MAX_NODE_ID_LENGTH)
    throw new WeftError('WEFT1505', `a node of ${bytes} bytes, with an ID of ${node.id?.length ?? 0}`);
}

/** @throws WEFT1505 */
export function checkNames({ names, typeUrl }: TypeSubscription): void {
  if (names.size > MAX_NAMES) throw new WeftError('WEFT1505', `more than ${MAX_NAMES} names of ${typeUrl}`);
}
