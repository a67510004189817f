import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { silentLogger } from '@weft/telemetry';
import { FakeNriRuntime, bytes, pod, varintField } from '../testing/fake-nri-runtime.ts';
import { runNriClient } from './nri-client.ts';
import type { NriPod } from './nri-session.ts';

describe('the agent as a plugin of NRI', () => {
  let dir: string;
  let runtime: FakeNriRuntime;
  let stop: AbortController;
  let running: Promise<void>;
  let onPod: (pod: NriPod, signal: AbortSignal) => Promise<void>;
  const connected: boolean[] = [];
  const errors: string[] = [];
  const pods: NriPod[] = [];
  const netns = '/var/run/netns/cni-1';
  const shopPod = bytes(1, pod({ name: 'p', netns, ips: ['10.0.0.5', 'fd00::5'] }));

  beforeEach(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'nri-'));
    connected.length = errors.length = pods.length = 0;
    onPod = (found) => Promise.resolve(void pods.push(found));
    stop = new AbortController();
    running = runNriClient(
      {
        socketPath: path.join(dir, 'nri.sock'),
        onPod: (found, signal) => onPod(found, signal),
        onConnectedChange: (now) => connected.push(now),
        onError: ({ code }) => errors.push(code),
        logger: silentLogger,
      },
      stop.signal,
    );
    runtime = await FakeNriRuntime.listen(path.join(dir, 'nri.sock'));
  });
  afterEach(async () => {
    stop.abort();
    await running;
    await runtime.close();
    rmSync(dir, { recursive: true });
  });

  it('comes when the runtime does, registers, and asks for new pods and for none without its answer', async () => {
    const { events, failurePolicy } = await runtime.takePlugin();
    expect(runtime.registrations).toEqual([{ name: 'weft-cni', index: '50' }]);
    expect(events).toBe(1); // RUN_POD_SANDBOX
    expect(failurePolicy).toEqual([1, 2]); // both fields true
    expect(connected.at(-1)).toBe(true);
  });

  it.each([
    ['by name', 'RunPodSandbox', shopPod],
    [
      'as a change of state, as older runtimes do',
      'StateChange',
      Buffer.concat([varintField(1, 1), bytes(2, shopPod.subarray(2))]),
    ],
  ])('is told of a new pod %s', async (_how, method, request) => {
    await runtime.takePlugin();
    expect(await runtime.call(method, request)).toMatchObject({ code: 0 });
    expect(pods).toEqual([
      { uid: 'uid-p', name: 'p', namespace: 'shop', netns, addresses: ['10.0.0.5', 'fd00::5'] },
    ]);
  });

  it('keeps a pod that can not be redirected from starting, and says why', async () => {
    await runtime.takePlugin();
    onPod = () => Promise.reject(new Error('no ztunnel'));
    const { code, message } = await runtime.call('RunPodSandbox', shopPod);
    expect(code).toBe(2);
    expect(message).toContain('no ztunnel');
  });

  it('answers before the runtime would go on without an answer', async () => {
    await runtime.takePlugin(50);
    let aborted = false;
    onPod = (_found, signal) =>
      new Promise(() => {
        signal.addEventListener('abort', () => {
          aborted = true;
        });
      });
    expect(await runtime.call('RunPodSandbox', shopPod)).toMatchObject({ code: 2 });
    expect(aborted).toBe(true);
  });

  it('answers calls that overlap, each as soon as it can', async () => {
    await runtime.takePlugin();
    let release = (): void => undefined;
    onPod = ({ name }) =>
      name === 'slow'
        ? new Promise((resolve) => {
            release = resolve;
          })
        : Promise.resolve();
    const slow = runtime.call('RunPodSandbox', bytes(1, pod({ name: 'slow' })));
    await runtime.call('RunPodSandbox', bytes(1, pod({ name: 'fast' })));
    release();
    expect(await slow).toMatchObject({ code: 0 });
  });

  it.each(['StopPodSandbox', 'RemovePodSandbox', 'Shutdown'])('takes note of %s', async (method) => {
    await runtime.takePlugin();
    expect(await runtime.call(method, new Uint8Array())).toMatchObject({ code: 0 });
  });

  it('says that it has no method that it does not have', async () => {
    await runtime.takePlugin();
    expect(await runtime.call('CreateContainer', new Uint8Array())).toMatchObject({ code: 12 });
  });

  it('refuses a request that can not be decoded, and goes on', async () => {
    await runtime.takePlugin();
    expect((await runtime.call('RunPodSandbox', Uint8Array.of(0x0a, 0xff))).code).toBe(2);
    expect(await runtime.call('RunPodSandbox', shopPod)).toMatchObject({ code: 0 });
  });

  it('comes back to a runtime that restarts', async () => {
    await runtime.takePlugin();
    runtime.disconnect();
    await runtime.takePlugin();
    expect(connected.filter((now, i) => now !== connected[i - 1]).slice(-3)).toEqual([true, false, true]);
  });

  it.each([
    ['a frame that is too long', Buffer.from('00000001ffffffff', 'hex')],
    ['a message that is too long', Buffer.from('000000010000000a' + '7fffffff000000010100', 'hex')],
    ['a message of no known type', Buffer.from('000000010000000a' + '00000000000000010900', 'hex')],
    [
      'an answer to no question, of bytes that are none',
      Buffer.from('000000020000000c' + '000000020000000102000aff', 'hex'),
    ],
  ])('leaves a runtime that sends %s, and tries again', async (_what, data) => {
    await runtime.takePlugin();
    runtime.registrations.length = errors.length = 0;
    runtime.sendRaw(data);
    await runtime.takePlugin();
    expect(errors[0]).toBe('WEFT1712');
  });
});
