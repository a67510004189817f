import { EventEmitter, once } from 'node:events';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { DataThreads } from './data-threads.ts';
import { loadConfig } from '../config.ts';
import { Connections } from '../data/connection.ts';
import type { PodListeners } from '../data/messages.ts';

const { sockets, tunnels } = loadConfig({});
const podOf = (podUid: string, reusePort = true): PodListeners => ({
  podUid,
  namespaceFd: undefined,
  ports: ['hbone'],
  sockets: { ...sockets, reusePort },
});

let threads: DataThreads;
/** `thread number: message` in the order in which they were received. */
let heard: string[];
let events: EventEmitter;
let lost: { readonly code: string; readonly ids: readonly number[] }[];
let lostPods: string[];

/** The first connection of a thread, as that thread numbers it. */
function connectionOf(thread: number): number {
  const connection = new Connections(thread, () => undefined).ask({
    kind: 'outbound',
    podUid: 'p',
    peer: { ip: '10.0.0.1' as never, port: 1 }, // not looked at here
    destination: { ip: '10.0.0.1' as never, port: 1 }, // canonical
  });
  connection?.cut({ code: 'WEFT1325', message: '', flag: '-' });
  return connection?.id ?? Number.NaN;
}
const ids = [0, 1, 2].map((thread) => thread * 2 ** 33);

beforeEach(() => {
  heard = [];
  lost = [];
  lostPods = [];
  events = new EventEmitter();
  threads = new DataThreads({
    engine: 'portable',
    onEngineGivenUp: () => undefined,
    count: 2,
    settings: { sockets, tunnels },
    program: new URL('../testing/fragile.worker.js', import.meta.url),
    onMessage: (message) => {
      if (message.kind !== 'trouble') return;
      heard.push(`${message.podUid}: ${message.failure.message}`);
      events.emit('heard');
    },
    onThreadLost: ({ code }, isOfThread) => lost.push({ code, ids: ids.filter(isOfThread) }),
    onPodLost: ({ code, message }) => lostPods.push(`${code} ${message}`),
  });
});
afterEach(() => threads.stop());

async function untilHeard(text: string): Promise<void> {
  while (!heard.includes(text)) await once(events, 'heard');
}
/** A thread that fails in its first second would end the process. */
const pastInfancy = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1_100));

describe('data threads', () => {
  it('open a pod in every thread, or in one where ports cannot be shared', async () => {
    await threads.openPod(podOf('shared'));
    await threads.openPod(podOf('alone', false));
    expect(heard.filter((h) => h.endsWith('shared')).sort()).toEqual([
      '0: open-pod shared',
      '1: open-pod shared',
    ]);
    expect(heard.filter((h) => h.endsWith('alone'))).toHaveLength(1);
  });

  it('number connections so that each knows its thread', () => {
    expect([0, 1, 2].map(connectionOf)).toEqual(ids);
  });

  it('are replaced when they fail: pods and revocations told anew, connections lost, the others untouched', async () => {
    await threads.openPod(podOf('a'));
    await threads.openPod(podOf('gone'));
    threads.revoke(Buffer.from('list'));
    await threads.closePod('gone');
    await pastInfancy();
    heard.length = 0;
    threads.cut(ids[1] ?? 0, 'a connection of the second thread, which fails by it');
    await untilHeard('2: open-pod a');
    expect(heard.filter((h) => h.startsWith('2:'))).toEqual(['2: revocations', '2: open-pod a']);
    expect(lost).toEqual([{ code: 'WEFT1340', ids: [ids[1]] }]);
    await threads.openPod(podOf('b'));
    expect(heard.filter((h) => h.endsWith('open-pod b'))).toHaveLength(2);
    expect(lostPods).toEqual([]);
  });

  it('say which pod could not be opened again', async () => {
    await threads.openPod(podOf('late'));
    await pastInfancy();
    threads.cut(ids[1] ?? 0, 'as above');
    await untilHeard('2: open-pod late');
    await threads.openPod(podOf('b')); // answered after the one before
    expect(lostPods).toEqual(['WEFT1330 pod late']);
  });
});
