import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { ConfigError } from '../engine/types.ts';
import { WatchedResources, type ResourceWatcher } from './watched-resources.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

function setup() {
  const clock = new ManualClock();
  const names: (readonly string[])[] = [];
  const resources = new WatchedResources({ typeUrl: 'test', clock, onNames: (wanted) => names.push(wanted) });
  const push = (name: string, text: string) =>
    resources.receive({
      version: '1',
      resources: [{ name, version: '1', bytes: Buffer.from(text) }],
      removed: [],
    });
  return { clock, names, resources, push };
}

function watcher(o: { readonly refuses?: string } = {}): ResourceWatcher & { readonly log: string[] } {
  const log: string[] = [];
  return {
    log,
    check: (bytes) => {
      if (Buffer.from(bytes).toString() === o.refuses)
        throw new ConfigError('name', 'some.field', 'is wrong');
    },
    onChange: (bytes) => log.push(Buffer.from(bytes).toString()),
    onMissing: () => log.push('missing'),
  };
}

describe('resources that are followed by name', () => {
  it('are asked for while somebody watches them', async () => {
    const { resources, names } = setup();
    const stop = resources.watch('a', 0, watcher());
    resources.watch('b', 0, watcher());
    await settle();
    stop();
    await settle();
    expect(names).toEqual([['a', 'b'], ['b']]);
  });

  it('stay asked for when one watcher replaces another', async () => {
    const { resources, names, push } = setup();
    const stop = resources.watch('a', 0, watcher());
    await settle();
    push('a', 'one');
    stop();
    const next = watcher();
    resources.watch('a', 0, next);
    await settle();
    expect(names).toEqual([['a']]);
    expect(next.log).toEqual(['one']);
  });

  it('come to every watcher, each change once', () => {
    const { resources, push } = setup();
    const one = watcher();
    resources.watch('a', 0, one);
    push('a', 'x');
    push('a', 'x');
    push('a', 'y');
    push('b', 'z');
    expect(one.log).toEqual(['x', 'y']);
  });

  it('are refused as a whole when one of their watchers cannot use them, and the last good one stays', () => {
    const { resources, push } = setup();
    const picky = watcher({ refuses: 'bad' });
    const other = watcher();
    resources.watch('a', 0, picky);
    resources.watch('a', 0, other);
    push('a', 'good');
    expect(push('a', 'bad')).toEqual([{ name: 'a', reason: 'some.field: is wrong' }]);
    expect([picky.log, other.log]).toEqual([['good'], ['good']]);
    expect([...resources.known()].map(({ bytes }) => Buffer.from(bytes).toString())).toEqual(['good']);
  });

  it('count as missing when they do not come in time, and are taken when they come later', async () => {
    const { resources, push, clock } = setup();
    const one = watcher();
    resources.watch('a', 15_000, one);
    await clock.advance(15_000);
    expect(one.log).toEqual(['missing']);
    push('a', 'late');
    expect(one.log).toEqual(['missing', 'late']);
    expect(clock.pending).toBe(0);
  });
});
