import type { ResolvedAddress, Resolver } from './dns.ts';

/** As many as there are threads for: the system's resolver blocks one for as long as a name server keeps silent. */
export const MAX_RUNNING_LOOKUPS = 2;
/** Names that clients wait for. */
export const MAX_WAITING_NAMES = 1_024;

interface Waiter {
  resolved(answers: readonly ResolvedAddress[]): void;
  failed(error: unknown): void;
}

interface Lookup {
  readonly name: string;
  readonly waiters: Set<Waiter>;
  isRunning: boolean;
}

/**
 * Lookups of names that clients choose. A name is looked up once for all who wait for it, and not at all when they have
 * left: threads that are asked for names of a silent name server would soon have no time for anybody else's.
 */
export class NameLookups {
  private readonly resolver: Resolver;
  /** Those that wait come in the order in which they begin. */
  private readonly lookups = new Map<string, Lookup>();
  private running = 0;

  constructor(resolver: Resolver) {
    this.resolver = resolver;
  }

  /** Rejects where the name has no address, where too many are waited for, and with the reason of `signal`. */
  resolve(name: string, signal: AbortSignal): Promise<readonly ResolvedAddress[]> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason);
      const lookup = this.lookups.get(name) ?? this.enqueue(name);
      if (lookup === undefined) return reject(new Error('too many names are being looked up'));
      const onAbort = (): void => {
        lookup.waiters.delete(waiter);
        if (lookup.waiters.size === 0 && !lookup.isRunning) this.lookups.delete(name);
        reject(signal.reason);
      };
      const waiter: Waiter = {
        resolved: (answers) => {
          signal.removeEventListener('abort', onAbort);
          resolve(answers);
        },
        failed: (error) => {
          signal.removeEventListener('abort', onAbort);
          reject(error);
        },
      };
      lookup.waiters.add(waiter);
      signal.addEventListener('abort', onAbort, { once: true });
      this.startNext();
    });
  }

  private enqueue(name: string): Lookup | undefined {
    if (this.lookups.size - this.running >= MAX_WAITING_NAMES) return undefined;
    const lookup: Lookup = { name, waiters: new Set(), isRunning: false };
    this.lookups.set(name, lookup);
    return lookup;
  }

  private startNext(): void {
    for (const lookup of this.lookups.values()) {
      if (this.running >= MAX_RUNNING_LOOKUPS) return;
      if (!lookup.isRunning) void this.run(lookup);
    }
  }

  private async run(lookup: Lookup): Promise<void> {
    const { name, waiters } = lookup;
    lookup.isRunning = true;
    this.running++;
    let settle: (waiter: Waiter) => void;
    try {
      const answers = await this.resolver(name);
      settle = (waiter) => waiter.resolved(answers);
    } catch (error) {
      settle = (waiter) => waiter.failed(error);
    }
    this.running--;
    this.lookups.delete(name);
    for (const waiter of waiters) settle(waiter);
    this.startNext();
  }
}
