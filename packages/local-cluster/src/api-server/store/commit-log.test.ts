import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import type { ApiObject } from '../object.ts';
import { CommitLog } from './commit-log.ts';
import { Store, WATCH_HISTORY_EVENTS } from './store.ts';

const object = (name: string, value = ''): ApiObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: { name, namespace: 'ns' },
  data: { value },
});
const open = (path: string) =>
  CommitLog.openStore(path, (error) => {
    throw error;
  }); // prettier-ignore

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-store-'));
  path = join(directory, 'state.jsonl');
});
afterEach(() => rm(directory, { recursive: true, force: true }));

it('finds everything again after a restart, and never gives out a revision twice', async () => {
  const first = await open(path);
  first.put('configmaps', object('a', '1'));
  first.put('configmaps', object('b'));
  first.put('configmaps', object('a', '2'));
  first.delete('configmaps', 'ns/b');
  const last = first.revision;
  await first.durable();
  await first.close();

  const second = await open(path);
  expect(second.list('configmaps').map(({ metadata }) => metadata.name)).toEqual(['a']);
  expect(second.get('configmaps', 'ns/a')?.['data']).toEqual({ value: '2' });
  expect(second.get('configmaps', 'ns/a')?.metadata.resourceVersion).toBe(String(last - 1));
  expect(second.revision).toBeGreaterThan(last);
  expect(second.watch('configmaps', last, () => undefined).kind).toBe('too-old');
  await second.close();
});

it('drops a last line that a crash cut short', async () => {
  const first = await open(path);
  first.put('configmaps', object('a'));
  await first.durable();
  await first.close();
  await appendFile(path, '{"revision":99,"collection":"configmaps","key":"ns/b","obj');
  const second = await open(path);
  expect(second.list('configmaps')).toHaveLength(1);
  second.put('configmaps', object('c'));
  await second.durable();
  await second.close();
  const third = await open(path);
  expect(third.list('configmaps')).toHaveLength(2);
  await third.close();
});

it('refuses a log that is damaged before its end', async () => {
  const first = await open(path);
  first.put('configmaps', object('a'));
  first.put('configmaps', object('b'));
  await first.durable();
  await first.close();
  const lines = (await readFile(path, 'utf8')).split('\n');
  lines[1] = 'garbage';
  await writeFile(path, lines.join('\n'));
  await expect(open(path)).rejects.toMatchObject({ code: 'WEFT2020' });
});

it('keeps enough history for watches and says when it does not reach back', () => {
  const store = new Store();
  const start = store.revision;
  for (let count = 0; count < 2 * WATCH_HISTORY_EVENTS; count++)
    store.put('configmaps', object('a', String(count)));
  expect(store.watch('configmaps', start, () => undefined).kind).toBe('too-old');
  const recent = store.watch('configmaps', store.revision - 5, () => undefined);
  expect(recent.kind === 'started' && recent.missed).toHaveLength(5);
});
