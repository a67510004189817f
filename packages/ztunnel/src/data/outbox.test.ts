import { setImmediate } from 'node:timers/promises';
import { expect, it } from '@jest/globals';
import { Outbox } from './outbox.ts';

it('sends what one turn of the event loop has to tell as one list, in order', async () => {
  const sent: unknown[] = [];
  const outbox = new Outbox<number>({ postMessage: (messages) => sent.push(messages) });
  outbox.send(1);
  await Promise.resolve();
  outbox.send(2);
  expect(sent).toEqual([]);
  await setImmediate();
  outbox.send(3);
  await setImmediate();
  expect(sent).toEqual([[1, 2], [3]]);
});
