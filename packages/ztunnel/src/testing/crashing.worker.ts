import { parentPort, workerData } from 'node:worker_threads';
import { Reactor, ReactorListener } from '@weft/hbone';
import { createTcpListener, DescriptorTable } from '@weft/linux';
import type { DataThreadSettings, ToControl, ToData } from '../data/messages.ts';

/**
 * Stands for a data thread of the fast engine in engine-failures.test.ts: tells the engine and the port on which it
 * accepts connections (as `trouble`), and fails while they are open when it is to cut one.
 */
const port = parentPort;
if (port === null) throw new Error('not a worker thread');
const { engine, threadNumber } = workerData as DataThreadSettings; // from data-threads.ts
const post = (message: ToControl): void => port.postMessage([message]);
const tell = (message: string): void => {
  const failure = { code: 'WEFT1325', message, flag: '-' } as const;
  post({ kind: 'trouble', podUid: String(threadNumber), peer: undefined, failure });
};

if (engine.kind === 'fast') {
  const reactor = new Reactor(new DescriptorTable(engine.descriptors));
  const { fd } = createTcpListener({ host: '127.0.0.1', port: 0 });
  const listening = reactor.io.localAddress(fd)?.port;
  new ReactorListener(reactor, fd, { socket: () => tell('accepted'), error: () => undefined });
  // As little as can be: what stays open is for the control thread to close.
  process.on('exit', () => reactor.stopWatching());
  tell(`fast ${listening}`);
} else tell('portable');

port.on('message', (messages: readonly ToData[]) => {
  for (const message of messages) {
    if (message.kind === 'stop') process.exit();
    if (message.kind === 'cut') throw new Error('as the test wants');
    if ('call' in message) post({ kind: 'answer', call: message.call });
  }
});
