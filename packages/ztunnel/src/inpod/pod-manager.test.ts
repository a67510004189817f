import { describe, expect, it } from '@jest/globals';
import type { NetworkNamespace } from '@weft/linux';
import { silentLogger } from '@weft/telemetry';
import fc from 'fast-check';
import { PodManager, ZdsViolation, type Pod } from './pod-manager.ts';

const pod = (uid: string): Pod => ({ uid, name: uid, namespace: 'default', serviceAccount: 'default' });

class Namespaces {
  readonly open = new Set<object>();
  make(id: string): NetworkNamespace {
    const token = {};
    this.open.add(token);
    return { fd: -1, id, close: () => this.open.delete(token) };
  }
}

class FakeProxies {
  readonly running = new Map<string, string>();
  failing = new Set<string>();
  start(started: Pod, namespace: NetworkNamespace): Promise<void> {
    if (this.failing.has(started.uid)) return Promise.reject(new Error('no'));
    expect(this.running.has(started.uid)).toBe(false);
    this.running.set(started.uid, namespace.id);
    return Promise.resolve();
  }
  stop(uid: string): Promise<void> {
    expect(this.running.delete(uid)).toBe(true);
    return Promise.resolve();
  }
}

function setUp(): { proxies: FakeProxies; pods: PodManager; namespaces: Namespaces } {
  const proxies = new FakeProxies();
  return { proxies, pods: new PodManager({ proxies, logger: silentLogger }), namespaces: new Namespaces() };
}

describe('PodManager', () => {
  it('is ready after the snapshot and unready again when the agent is gone, while pods go on', async () => {
    const { pods, proxies, namespaces } = setUp();
    await pods.beginSession();
    await pods.add(pod('a'), namespaces.make('1'));
    expect(pods.ready).toBe(false);
    await pods.snapshotSent();
    expect(pods.ready).toBe(true);
    await pods.endSession();
    expect(pods.ready).toBe(false);
    expect([...proxies.running.keys()]).toEqual(['a']);
  });

  it('takes the same pod again without restarting it, and restarts it in another namespace', async () => {
    const { pods, proxies, namespaces } = setUp();
    await pods.beginSession();
    await pods.add(pod('a'), namespaces.make('1'));
    await pods.add(pod('a'), namespaces.make('1'));
    expect(pods.counts).toEqual({ started: 1, stopped: 0 });
    await pods.add(pod('a'), namespaces.make('2'));
    expect(pods.counts).toEqual({ started: 2, stopped: 1 });
    expect(proxies.running.get('a')).toBe('2');
    expect(namespaces.open.size).toBe(1);
  });

  it('says that a pod could not be started and tries it again', async () => {
    const { pods, proxies, namespaces } = setUp();
    await pods.beginSession();
    proxies.failing.add('a');
    await expect(pods.add(pod('a'), namespaces.make('1'))).rejects.toMatchObject({ code: 'WEFT1330' });
    await pods.snapshotSent();
    expect([pods.ready, pods.pendingCount]).toEqual([false, 1]);
    await pods.retryPending();
    expect(pods.ready).toBe(false);
    proxies.failing.clear();
    await pods.retryPending();
    expect([pods.ready, pods.activeCount]).toEqual([true, 1]);
  });

  it('stops what a snapshot does not name, but not what it keeps', async () => {
    const { pods, proxies, namespaces } = setUp();
    await pods.beginSession();
    for (const uid of ['a', 'b', 'c']) await pods.add(pod(uid), namespaces.make(uid));
    await pods.snapshotSent();
    await pods.endSession();
    await pods.beginSession();
    await pods.add(pod('a'), namespaces.make('a'));
    await pods.keep('b');
    expect(proxies.running.size).toBe(3);
    await pods.snapshotSent();
    expect([...proxies.running.keys()]).toEqual(['a', 'b']);
  });

  it('refuses a second snapshot, and Keep after it', async () => {
    const { pods } = setUp();
    await pods.beginSession();
    await pods.snapshotSent();
    await expect(pods.snapshotSent()).rejects.toBeInstanceOf(ZdsViolation);
    await expect(pods.keep('a')).rejects.toBeInstanceOf(ZdsViolation);
  });

  it('ends with the right listeners after any sequence of messages, failures, disconnects and restarts', async () => {
    const uid = fc.constantFrom('a', 'b', 'c');
    const step = fc.oneof(
      fc.record({
        kind: fc.constant('add' as const),
        uid,
        netns: fc.constantFrom('1', '2'),
        fails: fc.boolean(),
      }),
      fc.record({ kind: fc.constantFrom('keep' as const, 'delete' as const), uid }),
      fc.record({
        kind: fc.constantFrom(
          'snapshot' as const,
          'reconnect' as const,
          'restart' as const,
          'retry' as const,
        ),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        const { proxies, namespaces, ...first } = setUp();
        let { pods } = first;
        // The model: what should run where, and what waits for another try.
        const up = new Map<string, string>();
        const pending = new Map<string, string>();
        let named = new Set<string>();
        let snapshotDone = false;
        await pods.beginSession();
        for (const s of steps) {
          if (s.kind === 'add') {
            proxies.failing = new Set(s.fails ? [s.uid] : []);
            await pods.add(pod(s.uid), namespaces.make(s.netns)).catch(() => undefined);
            proxies.failing = new Set();
            named.add(s.uid);
            if (up.get(s.uid) === s.netns) continue;
            up.delete(s.uid);
            pending.delete(s.uid);
            (s.fails ? pending : up).set(s.uid, s.netns);
          } else if (s.kind === 'keep') {
            if (snapshotDone) continue;
            await pods.keep(s.uid);
            named.add(s.uid);
          } else if (s.kind === 'delete') {
            await pods.delete(s.uid);
            named.delete(s.uid);
            up.delete(s.uid);
            pending.delete(s.uid);
          } else if (s.kind === 'snapshot') {
            if (snapshotDone) continue;
            await pods.snapshotSent();
            snapshotDone = true;
            for (const known of [...up.keys(), ...pending.keys()]) {
              if (named.has(known)) continue;
              up.delete(known);
              pending.delete(known);
            }
          } else if (s.kind === 'restart') {
            // The process dies: the kernel closes its listeners and descriptors, and a new one knows nothing.
            proxies.running.clear();
            namespaces.open.clear();
            pods = new PodManager({ proxies, logger: silentLogger });
            await pods.beginSession();
            up.clear();
            pending.clear();
            named = new Set();
            snapshotDone = false;
          } else if (s.kind === 'reconnect') {
            await pods.endSession();
            await pods.beginSession();
            pending.clear();
            named = new Set();
            snapshotDone = false;
          } else {
            await pods.retryPending();
            for (const [known, netns] of pending) up.set(known, netns);
            pending.clear();
          }
          expect(proxies.running).toEqual(up);
          expect(pods.pendingCount).toBe(pending.size);
          expect(namespaces.open.size).toBe(up.size + pending.size);
          expect(pods.ready).toBe(snapshotDone && pending.size === 0);
        }
        await pods.stopAll();
        expect([proxies.running.size, namespaces.open.size]).toEqual([0, 0]);
      }),
      { numRuns: 200 },
    );
  });
});
