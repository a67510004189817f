import { parentPort, workerData } from 'node:worker_threads';
import { memoryTrimmer } from '@weft/linux';
import { collectWhenIdle } from '@weft/telemetry/idle-memory';
import { DataPlane } from './data-plane.ts';
import type { DataThreadSettings, ToControl, ToData } from './messages.ts';
import { Outbox } from './outbox.ts';

/** Entry point of a data thread. */
const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const outbox = new Outbox<ToControl>(port);
const plane = new DataPlane(workerData as DataThreadSettings, (message) => outbox.send(message)); // from data-threads.ts
// Whatever ends it, an uncaught exception too: a thread that ends while its reactor is open takes the process with it.
process.on('exit', () => plane.close());
collectWhenIdle(memoryTrimmer());
port.on('message', (messages: readonly ToData[]) => {
  for (const message of messages) plane.onMessage(message);
});
