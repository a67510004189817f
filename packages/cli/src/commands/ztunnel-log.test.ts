import { expect, it } from '@jest/globals';
import { loggingPath } from './ztunnel-log.ts';

it.each([
  [{}, '/logging'],
  [{ level: 'debug' }, '/logging?level=debug'],
  [{ level: 'access:debug,info' }, '/logging?level=access%3Ddebug%2Cinfo'],
  [{ level: 'a::b:trace' }, '/logging?level=a%3A%3Ab%3Dtrace'],
  [{ level: 'a::b=trace' }, '/logging?level=a%3A%3Ab%3Dtrace'],
  [{ reset: true, level: 'warn' }, '/logging?reset=&level=warn'],
])('asks a ztunnel for the levels of %o', (flags, path) => {
  expect(loggingPath(flags)).toBe(path);
});
