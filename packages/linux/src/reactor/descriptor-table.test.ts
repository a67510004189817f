import { closeSync, fstatSync, openSync } from 'node:fs';
import { expect, it } from '@jest/globals';
import { DescriptorTable, MAX_TRACKED_DESCRIPTOR } from './descriptor-table.ts';

it('closes, for a thread that is no more, what it still had open, and nothing else', () => {
  const table = new DescriptorTable();
  const [leaked, closed, other] = [0, 1, 2].map(() => openSync('/dev/null', 'r'));
  if (leaked === undefined || closed === undefined || other === undefined) throw new Error('no descriptors');
  table.add(leaked);
  table.add(closed);
  table.delete(closed);
  closeSync(closed);
  // The other thread has the memory alone.
  expect(new DescriptorTable(table.memory).closeAll()).toBe(1);
  expect(() => fstatSync(leaked)).toThrow('EBADF');
  expect(fstatSync(other).isCharacterDevice()).toBe(true);
  expect(table.closeAll()).toBe(0);
  closeSync(other);
});

it('refuses a descriptor that it has no place for', () => {
  expect(() => new DescriptorTable().add(MAX_TRACKED_DESCRIPTOR)).toThrow(RangeError);
});
