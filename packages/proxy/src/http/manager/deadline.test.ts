import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { ManualClock, systemClock } from '@weft/telemetry';
import { scheduleDeadline } from './deadline.ts';
import { IdleTimer } from './idle-timer.ts';

/** A turn of the event loop that takes this long, and the deadline that passes within it. */
const TURN_MS = 40;
const DEADLINE_MS = 10;

/** What happens first when a byte and the deadline both come during one long turn. */
async function firstOf(arm: (task: () => void) => { onByte(): void; stop(): void }): Promise<string[]> {
  const events: string[] = [];
  const server = createServer((socket) => socket.end('x')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo; // a TCP server's address is always this
  const socket = connect({ host: '127.0.0.1', port });
  await once(socket, 'connect');
  const timer = arm(() => events.push('late'));
  socket.on('data', () => {
    events.push('byte');
    timer.onByte();
  });
  // Long enough for the server's turn, which comes next, to be over when this one ends.
  setImmediate(() => {
    const end = performance.now() + TURN_MS;
    while (performance.now() < end);
  });
  await once(socket, 'end');
  await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
  timer.stop();
  socket.destroy();
  server.close();
  await once(server, 'close');
  return events;
}

it('hears what arrived during a long turn before the deadline that passed in it', async () => {
  const events = await firstOf((task) => {
    const cancel = scheduleDeadline(systemClock, DEADLINE_MS, task);
    return { onByte: cancel, stop: cancel };
  });
  expect(events).toEqual(['byte']);
});

it('takes nobody for idle of whom something arrived during a long turn', async () => {
  const events = await firstOf((task) => {
    const timer = new IdleTimer(systemClock, DEADLINE_MS, task);
    return { onByte: () => timer.touch(), stop: () => timer.stop() };
  });
  expect(events).toEqual(['byte']);
});

it('can be cancelled before and after its time, and leaves no timer', async () => {
  const clock = new ManualClock();
  let fired = 0;
  const early = scheduleDeadline(clock, 10, () => fired++);
  early();
  expect(clock.pending).toBe(0);
  const late = scheduleDeadline(clock, 0, () => fired++);
  const fires = clock.advance(0);
  await Promise.resolve();
  late();
  await fires;
  late();
  scheduleDeadline(clock, 5, () => fired++);
  await clock.advance(5);
  expect(fired).toBe(1);
});
