import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { AddressPool, parseIpv4Range } from './address-pool.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-pool-'));
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));

it('gives each container the next address, and a released one only after all others', () => {
  const pool = new AddressPool(directory, '10.244.1.0/29');
  expect(pool.gateway).toBe('10.244.1.1');
  expect(['a', 'b', 'c'].map((id) => pool.reserve(id))).toEqual(['10.244.1.2', '10.244.1.3', '10.244.1.4']);
  pool.release('b');
  pool.release('b');
  expect(pool.find('b')).toBeUndefined();
  expect([pool.reserve('d'), pool.reserve('e')]).toEqual(['10.244.1.5', '10.244.1.6']);
  expect(pool.reserve('f')).toBe('10.244.1.3');
  expect(pool.find('f')).toBe('10.244.1.3');
});

it('asks to try again later when none is left', () => {
  const pool = new AddressPool(directory, '10.244.1.0/29');
  for (const id of ['a', 'b', 'c', 'd', 'e']) pool.reserve(id);
  expect(() => pool.reserve('f')).toThrow(expect.objectContaining({ cniCode: 11 }));
  pool.release('c');
  expect(pool.reserve('f')).toBe('10.244.1.4');
});

it('shares its state with other processes through files only', () => {
  new AddressPool(directory, '10.244.1.0/24').reserve('a');
  const other = new AddressPool(directory, '10.244.1.0/24');
  expect(other.reserve('b')).toBe('10.244.1.3');
  expect(other.taken()).toContainEqual({ address: '10.244.1.2', containerId: 'a' });
});

it('knows the range around an address', () => {
  expect(parseIpv4Range('10.244.1.77/24')).toEqual({ first: 10 * 2 ** 24 + 244 * 2 ** 16 + 256, size: 256 });
});

it.each(['10.0.0.0', '10.0.0.0/33', '10.0.0/24', '10.0.0.256/24', '::/64'])('refuses %s', (cidr) => {
  expect(() => parseIpv4Range(cidr)).toThrow('expected');
});
