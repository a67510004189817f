import { mkdtemp, readdir, readFile, readlink, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { writeAtomically, type VolumeFiles } from './atomic-writer.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-volume-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const files = (entries: Readonly<Record<string, string>>): VolumeFiles =>
  new Map(Object.entries(entries).map(([path, text]) => [path, { content: Buffer.from(text), mode: 0o640 }]));

it('shows files through ..data, with their modes', async () => {
  await writeAtomically(directory, files({ a: '1', 'sub/b': '2' }));
  expect(await readlink(join(directory, 'a'))).toBe('..data/a');
  expect(await readFile(join(directory, 'sub/b'), 'utf8')).toBe('2');
  expect((await stat(join(directory, 'a'))).mode & 0o777).toBe(0o640);
});

it('replaces all files at once and removes what is gone', async () => {
  await writeAtomically(directory, files({ a: '1', b: '2' }));
  const before = await readlink(join(directory, '..data'));
  expect(await writeAtomically(directory, files({ b: '3', c: '4' }))).toBe(true);
  expect(await readlink(join(directory, '..data'))).not.toBe(before);
  expect((await readdir(directory)).filter((name) => !name.startsWith('..')).sort()).toEqual(['b', 'c']);
  expect(await readFile(join(directory, 'b'), 'utf8')).toBe('3');
  expect((await readdir(directory)).filter((name) => name.startsWith('..2'))).toHaveLength(1);
});

it('leaves files alone that are as they should be', async () => {
  await writeAtomically(directory, files({ a: '1' }));
  const before = await readlink(join(directory, '..data'));
  expect(await writeAtomically(directory, files({ a: '1' }))).toBe(false);
  expect(await readlink(join(directory, '..data'))).toBe(before);
});

it.each(['', '/etc/passwd', '../x', 'a/../../x', '..data'])('refuses the path %j', async (path) => {
  await expect(writeAtomically(directory, files({ [path]: 'x' }))).rejects.toMatchObject({
    code: 'WEFT2065',
  });
});
