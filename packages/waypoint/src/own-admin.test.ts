import { expect, it } from '@jest/globals';
import { ownAdmin } from './own-admin.ts';

it.each([
  ['127.0.0.1', 15_000, true],
  ['127.9.9.9', 15_000, true],
  ['::1', 15_000, true],
  ['0.0.0.0', 15_000, true],
  ['::', 15_000, true],
  ['::ffff:127.0.0.1', 15_000, true],
  ['::ffff:7f00:1', 15_000, true],
  ['::ffff:0.0.0.0', 15_000, true],
  ['127.0.0.1', 8080, false],
  ['192.0.2.1', 15_000, false],
  ['2001:db8::1', 15_000, false],
])('%s port %i is the own admin interface: %s', (ip, port, expected) => {
  expect(ownAdmin(15_000)({ ip, port })).toBe(expected);
});
