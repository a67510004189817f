import type { ChangeSet, Collection, Graph, SourceCollection } from '@weft/collections';
import type { NamespaceFacts } from './facts.ts';

/** Of which namespaces objects are read. */
export type DiscoveryScope =
  | { readonly kind: 'nothing' }
  | { readonly kind: 'everything' }
  | { readonly kind: 'namespaces'; readonly names: ReadonlySet<string> };

export function isInScope(scope: DiscoveryScope, namespace: string): boolean {
  switch (scope.kind) {
    case 'nothing':
      return false;
    case 'everything':
      return true;
    case 'namespaces':
      return scope.names.has(namespace);
  }
}

export type Writer<F> = Pick<SourceCollection<F>, 'set' | 'delete'>;

/**
 * Stands between reflectors and sources: lets through what is of namespaces in the scope, and holds back the rest until
 * the scope changes. The API server can't be asked for a changing set of namespaces, and asking for each by itself
 * would cost a watch per kind and namespace.
 */
export class DiscoveryGate {
  private scope: DiscoveryScope = { kind: 'nothing' };
  private readonly passages: Passage[] = [];

  /** What is to be written to the source; keys are `namespace/name`. */
  guard<F>(source: SourceCollection<F>): Writer<F> {
    /** By namespace, then key. */
    const heldBack = new Map<string, Map<string, F>>();
    const holdBack = (key: string, facts: F): void => {
      const namespace = namespaceOf(key);
      const held = heldBack.get(namespace) ?? new Map<string, F>();
      heldBack.set(namespace, held.set(key, facts));
    };
    this.passages.push({
      letGo: (entersScope) => {
        for (const [namespace, held] of heldBack) {
          if (!entersScope(namespace)) continue;
          heldBack.delete(namespace);
          for (const [key, facts] of held) source.set(key, facts);
        }
      },
      takeBack: (leavesScope) => {
        for (const [key, facts] of source.written()) {
          if (!leavesScope(namespaceOf(key))) continue;
          source.delete(key);
          holdBack(key, facts);
        }
      },
    });
    return {
      set: (key, facts) => {
        if (isInScope(this.scope, namespaceOf(key))) source.set(key, facts);
        else holdBack(key, facts);
      },
      delete: (key) => {
        const namespace = namespaceOf(key);
        if (isInScope(this.scope, namespace)) return source.delete(key);
        const held = heldBack.get(namespace);
        held?.delete(key);
        if (held?.size === 0) heldBack.delete(namespace);
      },
    };
  }

  /** Everything that enters and leaves does so in one tick. */
  open(scope: DiscoveryScope): void {
    const before = this.scope;
    this.scope = scope;
    for (const { letGo, takeBack } of this.passages) {
      letGo((namespace) => isInScope(scope, namespace));
      if (canNarrow(before, scope)) takeBack((namespace) => !isInScope(scope, namespace));
    }
  }
}

interface Passage {
  readonly letGo: (entersScope: (namespace: string) => boolean) => void;
  readonly takeBack: (leavesScope: (namespace: string) => boolean) => void;
}

/** Whether anything may have to leave: only then are the sources searched. */
function canNarrow(before: DiscoveryScope, after: DiscoveryScope): boolean {
  if (before.kind === 'nothing' || after.kind === 'everything') return false;
  if (before.kind === 'everything' || after.kind === 'nothing') return true;
  for (const name of before.names) if (!after.names.has(name)) return true;
  return false;
}

function namespaceOf(key: string): string {
  return key.slice(0, key.indexOf('/'));
}

export interface Discovery {
  readonly selectors: readonly unknown[];
  /** In the scope also while nobody knows them. */
  readonly always: readonly string[];
}

/** Opens the gate for what the graph says now, and from then on whenever that changes, until the signal aborts. */
export function followDiscovery(
  gate: DiscoveryGate,
  options: {
    readonly graph: Pick<Graph, 'subscribe'>;
    readonly discovery: Collection<Discovery>;
    readonly discoveredNamespaces: Collection<NamespaceFacts>;
    readonly signal: AbortSignal;
  },
): void {
  const { graph, discovery, discoveredNamespaces, signal } = options;
  const scope = (): DiscoveryScope => {
    const [now] = discovery.values();
    if (now === undefined || now.selectors.length === 0) return { kind: 'everything' };
    const names = [...discoveredNamespaces.entries()].map(([name]) => name);
    return { kind: 'namespaces', names: new Set([...now.always, ...names]) };
  };
  gate.open(scope());
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    if (changes.of(discovery).size > 0 || entersOrLeaves(changes.of(discoveredNamespaces)))
      gate.open(scope());
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
}

function entersOrLeaves(changes: ReturnType<ChangeSet['of']>): boolean {
  for (const { before, after } of changes.values()) {
    if ((before === undefined) !== (after === undefined)) return true;
  }
  return false;
}
