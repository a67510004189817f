import { envoy } from '@weft/api/envoy';
import { describeError } from '@weft/telemetry';
import { createCompileContext, WarmUp } from '../config/compile-context.ts';
import { ConfigError, formatAddress, type Engine, type SocketAddress } from '../engine/types.ts';
import { checkFields, type UnknownFieldListener } from '../field-support/check-fields.ts';
import { BoundSockets } from './bound-sockets.ts';
import type { InternalListenerTable } from './internal-listeners.ts';
import { Listener } from './listener.ts';
import type { OriginalDestination } from './listener-filters/original-destination.ts';

const MESSAGE = 'envoy.config.listener.v3.Listener';

/** One version of a listener, for `config_dump`. */
export interface ListenerVersion {
  readonly bytes: Uint8Array;
  /** Empty for those of the bootstrap. */
  readonly versionInfo: string;
  readonly lastUpdatedMs: number;
}

export interface ListenerStatus {
  readonly name: string;
  readonly isStatic: boolean;
  readonly active?: ListenerVersion;
  readonly warming?: ListenerVersion;
  readonly draining: readonly ListenerVersion[];
  /** Addresses that it listens on now. */
  readonly addresses: readonly string[];
  readonly error?: { readonly failed: ListenerVersion; readonly details: string; readonly atMs: number };
}

interface Version extends ListenerVersion {
  readonly listener: Listener;
}

interface Slot {
  readonly isStatic: boolean;
  active?: Version;
  warming?: Version;
  readonly draining: Set<Version>;
  error?: ListenerStatus['error'];
  removed: boolean;
}

export interface ListenerManagerOptions {
  readonly engine: Engine;
  readonly internalListeners: InternalListenerTable;
  readonly originalDestination?: OriginalDestination;
  /** How long the connections of a listener that was replaced or removed may go on. */
  readonly drainTimeMs: number;
  readonly onUnknownField: UnknownFieldListener;
}

/**
 * All listeners, each with its versions.
 *
 *   apply ─compiled─► warming ─warm, started, bound─► active ─replaced or removed─► draining ─idle or time over─► gone
 *     └─ConfigError: the active version stays
 */
export class ListenerManager {
  private readonly o: ListenerManagerOptions;
  private readonly slots = new Map<string, Slot>();
  private readonly unregister = new Map<string, () => void>();
  private readonly sockets: BoundSockets;
  /** Activations that run now: binding is asynchronous. */
  private readonly activations = new Set<Promise<void>>();
  private readonly warm = new Set<Slot>();
  private readonly retired = new Set<Version>();
  private readonly warmWaiters: (() => void)[] = [];
  private started = false;
  private closed = false;

  constructor(options: ListenerManagerOptions) {
    this.o = options;
    this.sockets = new BoundSockets(() => options.engine.clock.now());
  }

  /** Compiles a version and lets it warm. @throws ConfigError: nothing has changed then */
  apply(bytes: Uint8Array, versionInfo: string, isStatic = false): void {
    const { engine } = this.o;
    const message = envoy.config.listener.v3.Listener.decode(bytes);
    const name = message.name || unnamed(message);
    message.name = name;
    const slot = this.slots.get(name) ?? { isStatic, draining: new Set<Version>(), removed: false };
    if (slot.isStatic && !isStatic)
      throw new ConfigError(name, '', 'the bootstrap has a listener of that name');
    const current = slot.warming ?? slot.active;
    if (current !== undefined && Buffer.compare(current.bytes, bytes) === 0) return;
    const record = { bytes: Uint8Array.from(bytes), versionInfo, lastUpdatedMs: engine.clock.now() };
    const holder: { version?: Version } = {};
    const warmUp = new WarmUp(() => {
      if (holder.version !== undefined && slot.warming === holder.version)
        this.activateWhenStarted(name, slot);
    });
    const context = createCompileContext({
      engine,
      resource: name,
      warmUp,
    });
    let listener: Listener;
    try {
      checkFields(MESSAGE, bytes, { resource: name, onUnknown: this.o.onUnknownField });
      listener = new Listener(message, context, {
        handOver: (address) => this.atAddress(address),
        ...(this.o.originalDestination === undefined
          ? {}
          : { originalDestination: this.o.originalDestination }),
        ...(slot.active === undefined ? {} : { previous: slot.active.listener }),
      });
    } catch (error) {
      const failure =
        error instanceof ConfigError
          ? error
          : new ConfigError(name, '', describeError(error), { cause: error });
      slot.error = { failed: record, details: failure.message, atMs: engine.clock.now() };
      if (!isStatic) this.slots.set(name, slot);
      engine.stats.counter('listener_manager.listener_create_failure').add();
      throw failure;
    }
    delete slot.error;
    this.slots.set(name, slot);
    slot.warming?.listener.close();
    holder.version = { ...record, listener };
    slot.warming = holder.version;
    engine.stats
      .counter(`listener_manager.listener_${slot.active === undefined ? 'added' : 'modified'}`)
      .add();
    warmUp.seal();
    this.count();
  }

  remove(name: string): void {
    const slot = this.slots.get(name);
    if (slot === undefined || slot.isStatic) return;
    slot.removed = true;
    slot.warming?.listener.close();
    delete slot.warming;
    const { active } = slot;
    delete slot.active;
    this.unregister.get(name)?.();
    this.unregister.delete(name);
    if (active !== undefined) {
      this.sockets.release(active.listener);
      this.retire(slot, active, 'removed');
      this.o.engine.stats.counter('listener_manager.listener_removed').add();
    }
    this.slots.delete(name);
    this.count();
  }

  /** From now on warm listeners take connections. Rejects when one of the bootstrap cannot be bound. */
  async start(): Promise<void> {
    this.started = true;
    for (const [name, slot] of this.slots) if (slot.warming !== undefined) this.activateIfWarm(name, slot);
    await Promise.all(this.activations);
    for (const [name, { isStatic, error }] of this.slots) {
      if (isStatic && error !== undefined) throw new ConfigError(name, 'address', error.details);
    }
  }

  /** Resolves as soon as no listener is warming. */
  whenWarm(): Promise<void> {
    return new Promise((resolve) => {
      this.warmWaiters.push(resolve);
      this.count();
    });
  }

  get activeConnections(): number {
    let sum = 0;
    for (const { active } of this.slots.values()) sum += active?.listener.activeConnections ?? 0;
    return sum;
  }

  get draining(): number {
    let sum = 0;
    for (const { draining } of this.slots.values()) sum += draining.size;
    return sum;
  }

  /** Asks every connection to end soon; the listeners go on. */
  drain(filter: (listener: Listener) => boolean = () => true): void {
    for (const { active } of this.slots.values()) {
      if (active !== undefined && filter(active.listener)) active.listener.drain();
    }
  }

  /** Stops taking connections; those that are open go on. */
  stopListening(): void {
    this.sockets.close();
  }

  close(): void {
    this.closed = true;
    this.sockets.close();
    for (const unregister of this.unregister.values()) unregister();
    for (const { active, warming, draining } of this.slots.values()) {
      warming?.listener.close();
      active?.listener.close();
      for (const { listener } of draining) listener.close();
    }
    for (const retired of [...this.retired]) retired.listener.close();
    this.slots.clear();
  }

  /** Names and states, for the admin interface. */
  status(): readonly ListenerStatus[] {
    return [...this.slots].map(([name, slot]) => ({
      name,
      isStatic: slot.isStatic,
      ...(slot.active === undefined ? {} : { active: slot.active }),
      ...(slot.warming === undefined ? {} : { warming: slot.warming }),
      draining: [...slot.draining],
      addresses: slot.active === undefined ? [] : this.addressesOf(slot.active.listener),
      ...(slot.error === undefined ? {} : { error: slot.error }),
    }));
  }

  private activateWhenStarted(name: string, slot: Slot): void {
    this.warm.add(slot);
    if (this.started) this.activateIfWarm(name, slot);
  }

  private activateIfWarm(name: string, slot: Slot): void {
    const version = slot.warming;
    if (version === undefined || !this.warm.delete(slot)) return;
    const activation = this.activate(name, slot, version).finally(() => this.activations.delete(activation));
    this.activations.add(activation);
  }

  private async activate(name: string, slot: Slot, version: Version): Promise<void> {
    const { engine, internalListeners } = this.o;
    const { listener } = version;
    try {
      await this.sockets.take(listener);
    } catch (error) {
      const details = `cannot bind: ${describeError(error)}`;
      slot.error = { failed: version, details, atMs: engine.clock.now() };
      if (slot.warming === version) delete slot.warming;
      this.sockets.release(listener);
      listener.close();
      engine.logger.error('listener cannot be bound', { listener: name, error: details });
      this.count();
      return;
    }
    if (this.closed || slot.warming !== version || slot.removed) {
      // Removed or replaced while the socket was being bound.
      if (slot.active?.listener !== listener) this.sockets.release(listener);
      return;
    }
    delete slot.warming;
    const previous = slot.active;
    slot.active = version;
    if (listener.binding.kind === 'internal') {
      this.unregister.set(
        name,
        internalListeners.register(name, (connection) => listener.accept(connection)),
      );
    }
    if (previous !== undefined) {
      this.sockets.release(previous.listener);
      this.retire(slot, previous, listener);
    }
    engine.logger.debug('listener active', {
      listener: name,
      addresses: this.addressesOf(listener).join(' '),
    });
    this.count();
  }

  private retire(slot: Slot, version: Version, next: Listener | 'removed'): void {
    slot.draining.add(version);
    this.retired.add(version);
    version.listener.retire(next, this.o.drainTimeMs, () => {
      slot.draining.delete(version);
      this.retired.delete(version);
      this.count();
    });
  }

  private atAddress(address: SocketAddress): Listener | undefined {
    if (address.kind !== 'ip') return undefined;
    let wildcard: Listener | undefined;
    for (const { active } of this.slots.values()) {
      const binding = active?.listener.binding;
      if (binding === undefined || binding.kind === 'internal') continue;
      for (const { ip, port } of binding.addresses) {
        if (port !== address.port) continue;
        if (ip === address.ip) return active?.listener;
        if (ip === '0.0.0.0' || ip === '::') wildcard ??= active?.listener;
      }
    }
    return wildcard;
  }

  private addressesOf(listener: Listener): readonly string[] {
    const { binding } = listener;
    if (binding.kind === 'internal') return [`envoy://${listener.name}/`];
    const ports = this.sockets.portsOf(listener);
    return binding.addresses.map(({ ip, port }, i) =>
      formatAddress({ kind: 'ip', ip, port: binding.kind === 'tcp' ? (ports[i] ?? port) : port }),
    );
  }

  private count(): void {
    const { stats } = this.o.engine;
    let [active, warming, draining] = [0, 0, 0];
    for (const slot of this.slots.values()) {
      if (slot.active !== undefined) active++;
      if (slot.warming !== undefined) warming++;
      draining += slot.draining.size;
    }
    stats.gauge('listener_manager.total_listeners_active').set(active);
    stats.gauge('listener_manager.total_listeners_warming').set(warming);
    stats.gauge('listener_manager.total_listeners_draining').set(draining);
    if (warming === 0) for (const resolve of this.warmWaiters.splice(0)) resolve();
  }
}

function unnamed(message: envoy.config.listener.v3.Listener): string {
  const { address = '', portValue = 0 } = message.address?.socketAddress ?? {};
  return `${address}:${portValue}`;
}
