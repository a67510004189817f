import { text } from 'node:stream/consumers';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { jsonStream, LazyList } from './json-stream.ts';

describe('a stream of JSON', () => {
  it('is what JSON.stringify writes, lists that are made on the way included', async () => {
    const list = fc.array(fc.jsonValue());
    await fc.assert(
      fc.asyncProperty(fc.dictionary(fc.string(), fc.jsonValue()), list, list, async (values, one, other) => {
        const streamed = { one: new LazyList(one), ...values, other: new LazyList(other), none: undefined };
        const whole = { one, ...values, other };
        expect(await text(jsonStream(streamed))).toBe(JSON.stringify(whole, undefined, 2));
      }),
    );
    expect(await text(jsonStream({}))).toBe('{}');
  });

  it('makes members as they are read, and lets the event loop turn', async () => {
    let made = 0;
    let turns = 0;
    const members = function* (): Generator<object> {
      for (; made < 20_000; made++) yield { made, filling: 'x'.repeat(200) };
    };
    const stream = jsonStream({ members: new LazyList(members()) });
    await new Promise((resolve) => stream.once('readable', resolve));
    expect(made).toBeLessThan(20_000);
    const timer = setInterval(() => turns++);
    for await (const _ of stream) if (turns === 0) await new Promise((resolve) => setTimeout(resolve));
    clearInterval(timer);
    expect([made, turns > 0]).toEqual([20_000, true]);
  });
});
