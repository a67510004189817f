import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import { connectSeqpacket, openNetworkNamespace, type SeqpacketConnection } from '@weft/linux';
import { ManualClock, silentLogger } from '@weft/telemetry';
import { ZdsServer, type SnapshotEntry, type ZdsPod } from './zds-server.ts';

const { WorkloadRequest, WorkloadResponse, ZdsHello } = istio.workload.zds;

/** A ztunnel that says hello and answers each request with what `answer` returns. */
class FakeZtunnel {
  readonly received: string[] = [];
  closed = false;
  answer: (payload: string) => string | undefined = () => '';
  private readonly connection: SeqpacketConnection;

  constructor(socketPath: string, hello: Uint8Array = ZdsHello.encode({ version: 1 }).finish()) {
    this.connection = connectSeqpacket(socketPath);
    this.connection.onPacket = ({ bytes, fds }) => {
      for (const fd of fds) openNetworkNamespace(`/proc/self/fd/${fd}`).close();
      const request = WorkloadRequest.decode(bytes);
      const text =
        request.payload === 'add'
          ? `add ${request.add?.uid} ${fds.length}`
          : request.payload === 'del'
            ? `del ${request.del?.uid}`
            : request.payload === 'keep'
              ? `keep ${request.keep?.uid}`
              : 'sent';
      this.received.push(text);
      const error = this.answer(text);
      if (error !== undefined) this.send(WorkloadResponse.encode({ ack: { error } }).finish());
    };
    this.connection.onClose = () => {
      this.closed = true;
    };
    this.connection.send(hello);
  }

  send(bytes: Uint8Array): void {
    this.connection.send(bytes);
  }

  close(): void {
    this.connection.close();
  }
}

async function eventually(check: () => void): Promise<void> {
  for (let i = 0; ; i++) {
    try {
      return check();
    } catch (error) {
      if (i > 200) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

describe('ZDS server', () => {
  let dir: string;
  let server: ZdsServer;
  let entries: SnapshotEntry[];
  let results: [string, string | undefined][];
  let errors: string[];
  const clock = new ManualClock();
  const netns = openNetworkNamespace('/proc/self/ns/net');
  const pod = (uid: string): ZdsPod => ({ uid, name: uid, namespace: 'shop', serviceAccount: 'sa', netns });
  const socketPath = (): string => path.join(dir, 'z.sock');

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), 'zds-'));
    entries = [];
    results = [];
    errors = [];
    server = new ZdsServer({
      path: socketPath(),
      snapshot: () => Promise.resolve(entries),
      onSnapshotResult: (uid, error) => results.push([uid, error?.message]),
      onConnectedChange: () => undefined,
      onError: ({ code }) => errors.push(code),
      logger: silentLogger,
      clock,
    });
  });
  afterEach(() => {
    server.close();
    rmSync(dir, { recursive: true });
  });

  it('sends a snapshot: each pod with one descriptor, what to keep, then that it is complete', async () => {
    entries = [
      { kind: 'add', pod: pod('a') },
      { kind: 'keep', uid: 'b' },
    ];
    const ztunnel = new FakeZtunnel(socketPath());
    await eventually(() => expect(ztunnel.received).toEqual(['add a 1', 'keep b', 'sent']));
    await eventually(() => expect(server.connected).toBe(1));
    expect(results).toEqual([['a', undefined]]);
    ztunnel.close();
  });

  it('goes on after a pod that ztunnel refuses, and reports it', async () => {
    entries = [
      { kind: 'add', pod: pod('a') },
      { kind: 'add', pod: pod('b') },
    ];
    const ztunnel = new FakeZtunnel(socketPath());
    ztunnel.answer = (text) => (text.startsWith('add a') ? 'no such namespace' : '');
    await eventually(() => expect(server.connected).toBe(1));
    expect(results).toEqual([
      ['a', 'ztunnel: no such namespace'],
      ['b', undefined],
    ]);
    ztunnel.close();
  });

  it('adds to the newest ztunnel only and removes from all', async () => {
    const old = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(1));
    const young = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(2));
    await server.add(pod('a'));
    await server.remove('a');
    expect(old.received).toEqual(['sent', 'del a']);
    expect(young.received).toEqual(['sent', 'add a 1', 'del a']);
    old.close();
    young.close();
  });

  it('falls back to the older ztunnel when the newer goes', async () => {
    const old = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(1));
    const young = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(2));
    young.close();
    await eventually(() => expect(server.connected).toBe(1));
    await server.add(pod('a'));
    expect(old.received).toContain('add a 1');
    old.close();
  });

  it('refuses a pod with a code when no ztunnel is there', async () => {
    await expect(server.add(pod('a'))).rejects.toMatchObject({ code: 'WEFT1702' });
  });

  it('cuts off a ztunnel that does not answer in time', async () => {
    const ztunnel = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(1));
    ztunnel.answer = () => undefined;
    const added = expect(server.add(pod('a'))).rejects.toMatchObject({ code: 'WEFT1703' });
    await eventually(() => expect(ztunnel.received).toContain('add a 1'));
    await clock.advance(5_001);
    await added;
    await eventually(() => expect(ztunnel.closed).toBe(true));
    expect(server.connected).toBe(0);
  });

  it.each([
    ['garbage for a hello', Buffer.from([0xff, 0xff, 0xff])],
    ['another version', ZdsHello.encode({ version: 0 }).finish()],
    ['an oversized packet', Buffer.alloc(1024, 1)],
  ])('survives %s, and counts it', async (_what, hello) => {
    const bad = new FakeZtunnel(socketPath(), hello);
    await eventually(() => expect(bad.closed).toBe(true));
    expect(errors).toEqual(['WEFT1707']);
    const good = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(1));
    good.close();
  });

  it('cuts off a ztunnel that speaks unasked', async () => {
    const ztunnel = new FakeZtunnel(socketPath());
    await eventually(() => expect(server.connected).toBe(1));
    for (let i = 0; i < 3; i++) {
      try {
        ztunnel.send(WorkloadResponse.encode({ ack: { error: '' } }).finish());
      } catch {
        break;
      }
    }
    await eventually(() => expect(ztunnel.closed).toBe(true));
  });
});
