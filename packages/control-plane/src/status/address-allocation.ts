import { FieldManager, Label } from '@weft/api';
import { createHash } from 'node:crypto';
import type { ChangeSet, Collection, Graph } from '@weft/collections';
import { type KubernetesClient, isNotFound, resources } from '@weft/kubernetes';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import { ClaimedAddresses } from './claimed-addresses.ts';
import type { AllocatedAddress, ServiceEntryFacts } from '../sources/entries.ts';

/** 240.240.0.0/16, less the first and the last of it; in 2001:2::/48 as many. */
const POOL_SIZE = 65_534;

export interface AddressAllocationOptions {
  readonly client: Pick<KubernetesClient, 'apply'>;
  readonly graph: Graph;
  readonly serviceEntries: Collection<ServiceEntryFacts>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends with leadership. */
  readonly signal: AbortSignal;
}

/**
 * Gives addresses to the hosts of ServiceEntries that have none, so that clients can be told apart by where they go.
 * They are kept in `status.addresses`, and never taken back: a client may have resolved them.
 */
export function allocateAddresses(options: AddressAllocationOptions): void {
  const { client, graph, serviceEntries, clock, logger, signal } = options;
  const claims = new ClaimedAddresses();
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    concurrency: 1, // each has to see what the one before took
    reconcile: async (key) => {
      const entry = serviceEntries.get(key);
      if (entry === undefined) return claims.release(key);
      const wanted = allocation(entry, (value) => claims.isTaken(value, key));
      if (wanted === undefined) return;
      claims.take(
        key,
        wanted.map(({ value }) => value),
      );
      const { namespace, name } = entry;
      try {
        await client.apply(
          resources.serviceEntries,
          { metadata: { namespace, name }, status: { addresses: wanted } },
          { fieldManager: FieldManager.addressAllocation, force: true, subresource: 'status', signal },
        );
      } catch (error) {
        if (isNotFound(error)) return claims.release(key); // deleted meanwhile
        throw new WeftError('WEFT1840', `ServiceEntry ${key}`, { cause: error });
      }
    },
    onError: (_key, error) => logger.warn('cannot allocate addresses', { error: describeError(error) }),
  });
  const byAge = [...serviceEntries.entries()].sort(([, a], [, b]) => (a.createdAt < b.createdAt ? -1 : 1));
  // Of two that claim one address the older keeps it.
  for (const [key, entry] of byAge) claims.note(key, entry);
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    for (const [key, { after }] of changes.of(serviceEntries)) {
      const losers = after === undefined ? [] : claims.note(key, after);
      for (const one of [key, ...losers]) reconciler.enqueue(one);
    }
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  for (const [key] of byAge) reconciler.enqueue(key);
}

/**
 * The complete list of an entry's allocated addresses; undefined where it already has what it should have.
 * @param isTaken by another entry, or by a user
 */
export function allocation(
  entry: ServiceEntryFacts,
  isTaken: (address: string) => boolean,
): readonly AllocatedAddress[] | undefined {
  // The two families of a host go together, so that names resolve to both or to neither.
  const lost = new Set(entry.allocated.filter(({ value }) => isTaken(value)).map(({ host }) => host));
  const kept = entry.allocated.filter(({ host }) => !lost.has(host));
  const taken = new Set(kept.map(({ value }) => value));
  const added = hostsWithoutAddress(entry)
    .filter((host) => !kept.some((allocated) => allocated.host === host))
    .flatMap((host): AllocatedAddress[] => {
      const number = freeNumber(`${entry.namespace}/${entry.name}/${host}`, (n) =>
        addresses(n).some((value) => isTaken(value) || taken.has(value)),
      );
      if (number === undefined) return [];
      return addresses(number).map((value) => {
        taken.add(value);
        return { host, value };
      });
    });
  return added.length === 0 && kept.length === entry.allocated.length ? undefined : [...kept, ...added];
}

function hostsWithoutAddress({ labels, spec }: ServiceEntryFacts): readonly string[] {
  const { hosts = [], addresses: own = [], resolution = 'NONE' } = spec;
  if (resolution === 'NONE' || own.length > 0 || labels[Label.autoAllocateIp] === 'false') return [];
  return [...new Set(hosts)].filter((host) => !host.startsWith('*') || resolution === 'DYNAMIC_DNS');
}

/** From a hash of who asks, so that replicas and restarts agree without asking each other. */
function freeNumber(identity: string, isTaken: (n: number) => boolean): number | undefined {
  const start = createHash('sha256').update(identity).digest().readUInt32BE(0) % POOL_SIZE;
  for (let i = 0; i < POOL_SIZE; i++) {
    const number = 1 + ((start + i) % POOL_SIZE);
    if (!isTaken(number)) return number;
  }
  return undefined;
}

function addresses(number: number): readonly [string, string] {
  return [`240.240.${number >> 8}.${number & 0xff}`, `2001:2::${number.toString(16)}`];
}
