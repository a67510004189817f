import { Duplex } from 'node:stream';
import { expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { MAX_UNREAD_MS, MAX_WRITE_SLOT_MS, type DeltaCall, StreamWriter } from './stream-writer.ts';
import { Throttle } from './throttle.ts';

/** A stream whose client reads when it is told to. */
class FakeCall extends Duplex {
  readonly cancelled = false;
  read1: (() => void) | undefined;

  constructor() {
    super({ objectMode: true });
  }

  override _read(): void {}

  override _write(_message: unknown, _encoding: string, taken: () => void): void {
    this.read1 = taken;
  }
}

function setUp(o: { readonly places: number; readonly room: number }) {
  const clock = new ManualClock();
  const [throttle, unread] = [new Throttle(o.places), new Throttle(o.room)];
  const log: string[] = [];
  const add = (name: string, bytes: number) => {
    const call = new FakeCall();
    const waiting = [name];
    const writer = new StreamWriter(
      {
        call: call as unknown as DeltaCall, // what a writer uses of it
        clock,
        throttle,
        unread,
        onSent: () => log.push(`${name} was read`),
        onWriteTimeout: () => log.push(`${name} is slow`),
        onFailure: (error) => log.push(String(error)),
      },
      {
        isWaiting: () => waiting.length > 0,
        writeNext: () => {
          log.push(`${name} has a place`);
          if (waiting.pop() === 'broken') throw new Error('of ours');
          return writer.send(bytes, () => Buffer.alloc(0));
        },
      },
    );
    writer.start();
    return { call, writer };
  };
  const settle = () => new Promise((resolve) => void setImmediate(resolve));
  return { clock, log, add, settle };
}

it('gives the place of a client that doesn’t read to the next after a second, and its room after half a minute', async () => {
  const { clock, log, add, settle } = setUp({ places: 1, room: 10 });
  const slow = add('slow', 8);
  add('next', 8);
  await settle();
  expect(log).toEqual(['slow has a place']);
  await clock.advance(MAX_WRITE_SLOT_MS);
  await settle();
  expect(log.splice(0)).toEqual(['slow has a place', 'next has a place']);
  await clock.advance(MAX_UNREAD_MS);
  await settle();
  expect(log.splice(0)).toEqual(['slow is slow']);
  slow.call.read1?.();
  await settle();
  expect(log).toEqual(['slow was read']);
});

it('ends for a stream that ended, and tells of what could not be made', async () => {
  const { clock, log, add, settle } = setUp({ places: 1, room: 10 });
  const gone = add('gone', 8);
  add('broken', 8);
  await settle();
  gone.call.destroy();
  await settle();
  await settle();
  expect(log).toContain('Error: of ours');
  expect(clock.pending).toBe(0);
});
