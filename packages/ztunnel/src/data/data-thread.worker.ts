import { parentPort, workerData } from 'node:worker_threads';
import { DataPlane } from './data-plane.ts';
import type { DataThreadSettings, ToData } from './messages.ts';

/** Entry point of a data thread. */
const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const plane = new DataPlane(workerData as DataThreadSettings, (message) => port.postMessage(message)); // from data-threads.ts
// Whatever ends it, an uncaught exception too: a thread that ends while its reactor is open takes the process with it.
process.on('exit', () => plane.close());
port.on('message', (message: ToData) => plane.onMessage(message));
