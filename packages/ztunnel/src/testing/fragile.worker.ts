import { parentPort, workerData } from 'node:worker_threads';
import type { DataThreadSettings, ToControl, ToData } from '../data/messages.ts';

/**
 * Stands for a data thread in data-threads.test.ts: tells what it was told (as `trouble`, the one message without a
 * connection), and fails when it is to cut one.
 */
const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const { threadNumber } = workerData as DataThreadSettings; // from data-threads.ts
const post = (message: ToControl): void => port.postMessage([message]);
const open = new Set<string>();

port.on('message', (messages: readonly ToData[]) => messages.forEach(onMessage));

function onMessage(message: ToData): void {
  const said = message.kind === 'open-pod' ? message.pod.podUid : 'podUid' in message ? message.podUid : '';
  const failure = { code: 'WEFT1325', message: `${message.kind} ${said}`.trim(), flag: '-' } as const;
  post({ kind: 'trouble', podUid: String(threadNumber), peer: undefined, failure });
  if (message.kind === 'cut') throw new Error('as the test wants');
  if (!('call' in message)) return;
  const { call } = message;
  // A pod that only the first threads can open.
  if (said === 'late' && threadNumber > 1) return post({ kind: 'answer', call, error: 'no namespace' });
  if (message.kind === 'open-pod' && open.has(said))
    return post({ kind: 'answer', call, error: 'open already' });
  if (message.kind === 'open-pod') open.add(said);
  post({ kind: 'answer', call });
}
