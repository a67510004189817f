import { mkdtempSync, openSync, closeSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import { connectSeqpacket, SeqpacketServer, type SeqpacketConnection } from '@weft/linux';
import { silentLogger } from '@weft/telemetry';
import { PodManager } from './pod-manager.ts';
import { runZdsClient } from './zds-client.ts';

const { WorkloadRequest, WorkloadResponse, ZdsHello } = istio.workload.zds;
type Request = istio.workload.zds.WorkloadRequest.$Properties;

let folder: string;
let agent: FakeAgent;
let abort: AbortController;
let ended: Promise<void>;
let pods: PodManager;
let refused: Set<string>;
let errors: string[];

/** The agent's side: answers of the client arrive in order. */
class FakeAgent {
  readonly server: SeqpacketServer;
  private connection: SeqpacketConnection | undefined;
  private readonly packets: Buffer[] = [];
  private wake = (): void => undefined;
  closed = 0;

  constructor(path: string) {
    this.server = SeqpacketServer.listen(
      path,
      (connection) => {
        this.connection = connection;
        connection.onPacket = ({ bytes }) => {
          this.packets.push(bytes);
          this.wake();
        };
        connection.onClose = () => {
          this.closed++;
        };
      },
      { maxPacketBytes: 4_096 },
    ); // more than the client reads
  }

  async next(): Promise<Buffer> {
    for (;;) {
      const packet = this.packets.shift();
      if (packet !== undefined) return packet;
      await new Promise<void>((resolve) => (this.wake = resolve));
    }
  }

  async ask(bytes: Uint8Array, fds: readonly number[] = []): Promise<string> {
    this.connection?.send(bytes, fds);
    return WorkloadResponse.decode(await this.next()).ack?.error ?? '(no ack)';
  }

  request(request: Request, fds: readonly number[] = []): Promise<string> {
    return this.ask(WorkloadRequest.encode(request).finish(), fds);
  }
}

const add = (uid: string): Request => ({
  add: { uid, workloadInfo: { name: uid, namespace: 'default', serviceAccount: 'sa' } },
});

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-zds-'));
  const path = join(folder, 'z.sock');
  agent = new FakeAgent(path);
  abort = new AbortController();
  refused = new Set();
  errors = [];
  pods = new PodManager({
    proxies: {
      start: (pod) => (refused.has(pod.uid) ? Promise.reject(new Error('port in use')) : Promise.resolve()),
      stop: () => Promise.resolve(),
    },
    logger: silentLogger,
  });
  ended = runZdsClient({
    pods,
    connect: () => connectSeqpacket(path),
    logger: silentLogger,
    signal: abort.signal,
    onError: ({ code }) => errors.push(code),
  });
  ended.catch(() => undefined);
});
afterEach(async () => {
  abort.abort();
  agent.server.close();
  await ended.catch(() => undefined);
  await pods.stopAll();
  rmSync(folder, { recursive: true });
});

function withFd<T>(work: (fd: number) => Promise<T>): Promise<T> {
  const fd = openSync('/proc/self/ns/net', 'r');
  return work(fd).finally(() => closeSync(fd));
}

describe('ZDS client', () => {
  it('says hello, answers each request and is ready after the snapshot', async () => {
    expect(ZdsHello.decode(await agent.next()).version).toBe(1);
    expect(await withFd((fd) => agent.request(add('a'), [fd]))).toBe('');
    expect(await agent.request({ snapshotSent: {} })).toBe('');
    expect([pods.ready, pods.activeCount]).toEqual([true, 1]);
    expect(await agent.request({ del: { uid: 'a' } })).toBe('');
    expect(await agent.request({ del: { uid: 'unknown' } })).toBe('');
    expect(pods.activeCount).toBe(0);
  });

  it('reports a pod that cannot be started and keeps the connection', async () => {
    await agent.next();
    refused.add('a');
    expect(await withFd((fd) => agent.request(add('a'), [fd]))).toMatch(/WEFT1330.*port in use/);
    expect(await agent.request({ snapshotSent: {} })).toBe('');
    expect([pods.ready, pods.pendingCount, errors]).toEqual([false, 1, ['WEFT1330']]);
  });

  it.each<[string, Uint8Array, number]>([
    ['garbage', Buffer.from('ffffffff', 'hex'), 0],
    ['a request of an unknown kind', Buffer.from('5000', 'hex'), 0],
    ['Add without a descriptor', WorkloadRequest.encode(add('a')).finish(), 0],
    ['Add with two descriptors', WorkloadRequest.encode(add('a')).finish(), 2],
    ['Del with a descriptor', WorkloadRequest.encode({ del: { uid: 'a' } }).finish(), 1],
  ])('refuses %s, closes and connects again', async (_, bytes, fdCount) => {
    await agent.next();
    const reply = await withFd((fd) => agent.ask(bytes, Array<number>(fdCount).fill(fd)));
    expect(reply).toContain('WEFT1331');
    expect(ZdsHello.decode(await agent.next()).version).toBe(1);
    expect(await agent.request({ snapshotSent: {} })).toBe('');
    expect([pods.ready, errors]).toEqual([true, ['WEFT1331']]);
  });

  it('refuses a packet that is larger than any request, instead of reading half of it', async () => {
    await agent.next();
    const { add: request } = add('a');
    const huge = WorkloadRequest.encode({
      add: { ...request, workloadInfo: { ...request?.workloadInfo, name: 'x'.repeat(2_000) } },
    }).finish();
    expect(await withFd((fd) => agent.ask(huge, [fd]))).toContain('WEFT1331');
    expect(ZdsHello.decode(await agent.next()).version).toBe(1);
    expect(pods.activeCount).toBe(0);
  });

  it.each<[string, Request, string]>([
    ['Keep after the snapshot', { keep: { uid: 'a' } }, 'Keep after the snapshot'],
    ['Add without workload_info', { add: { uid: 'a' } }, 'without workload_info'],
  ])('gives up on an agent that sends %s', async (_, request, told) => {
    await agent.next();
    await agent.request({ snapshotSent: {} });
    const answer = request.add ? withFd((fd) => agent.request(request, [fd])) : agent.request(request);
    expect(await answer).toContain(told);
    await expect(ended).rejects.toMatchObject({ code: 'WEFT1331' });
  });

  it('gives up on an agent that sends two snapshots', async () => {
    await agent.next();
    await agent.request({ snapshotSent: {} });
    expect(await agent.request({ snapshotSent: {} })).toContain('a second snapshot');
    await expect(ended).rejects.toMatchObject({ code: 'WEFT1331' });
  });
});
