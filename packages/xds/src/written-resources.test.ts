import { expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { readDeltaResponse, readResource } from './delta-message.ts';
import { MemorySource } from './resource-source.ts';
import { type VersionedResource, versionedResource } from './resource.ts';
import { SNAPSHOT_AGE_MS, WrittenResources } from './written-resources.ts';

const typeUrl = 'type.googleapis.com/test.Address';
const named = (name: string, text = name): VersionedResource => versionedResource(name, Buffer.from(text));

class CountedSource extends MemorySource {
  listed = 0;

  override list(): Iterable<VersionedResource> {
    this.listed++;
    return super.list();
  }
}

function start() {
  const clock = new ManualClock();
  const source = new CountedSource(typeUrl);
  source.update({ upserted: [named('a'), named('b')] });
  const written = new WrittenResources(clock);
  source.subscribe(() => written.changed(source));
  return { clock, source, written };
}

async function names(written: WrittenResources, source: MemorySource): Promise<string[]> {
  const parts = await written.all(source);
  return parts.flatMap((part) => {
    const frame = readDeltaResponse(part.message({ typeUrl, nonce: 'n', systemVersion: 'v' }));
    return [...frame.resources].map((bytes) => readResource(bytes).name);
  });
}

it('writes everything once for all who want it, and anew after a change', async () => {
  const { source, written } = start();
  expect(await Promise.all([names(written, source), names(written, source)])).toEqual([
    ['a', 'b'],
    ['a', 'b'],
  ]);
  expect(source.listed).toBe(1);
  source.update({ removed: ['a'] });
  expect(await names(written, source)).toEqual(['b']);
  expect(source.listed).toBe(2);
  written.close();
});

it('keeps nothing of it for long', async () => {
  const { clock, source, written } = start();
  await names(written, source);
  await clock.advance(SNAPSHOT_AGE_MS);
  expect(clock.pending).toBe(0);
  await names(written, source);
  expect(source.listed).toBe(2);
  written.close();
  expect(clock.pending).toBe(0);
});

it.each([
  ['within its room', 'n'],
  ['beyond it', 'n'.repeat(5_000)],
])('gives each client a head of its own, %s', async (_, nonce) => {
  const { source, written } = start();
  const [part] = await written.all(source);
  for (const head of [
    { typeUrl, nonce, systemVersion: '1' },
    { typeUrl, nonce: 'short', systemVersion: '22' },
  ]) {
    const frame = readDeltaResponse(part?.message(head) ?? Buffer.alloc(0));
    expect(frame).toMatchObject({ ...head, resourceCount: 2 });
  }
  written.close();
});

it('writes a changed resource once for a push, and again for another type', () => {
  const { source, written } = start();
  const resource = named('a');
  const first = written.one(source, resource);
  expect(written.one(source, resource)).toBe(first);
  const other = written.one(new MemorySource('type.googleapis.com/test.Workload'), resource);
  expect(readResource(readDeltaElement(other)).resource?.type_url).toBe('type.googleapis.com/test.Workload');
  written.pushing();
  expect(written.one(source, resource)).not.toBe(first);
});

it('asks a source that doesn’t tell of changes each time', async () => {
  const written = new WrittenResources(new ManualClock());
  const source = Object.assign(new CountedSource(typeUrl), { isTransient: true });
  source.update({ upserted: [named('a')] });
  await names(written, source);
  source.update({ upserted: [named('b')] });
  expect(await names(written, source)).toEqual(['a', 'b']);
});

function readDeltaElement(written: Uint8Array): Uint8Array {
  const [element = new Uint8Array()] = readDeltaResponse(written).resources;
  return element;
}
