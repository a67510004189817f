import { execFileSync } from 'node:child_process';
import { expect, it } from '@jest/globals';
import { quote } from './container-script.ts';

it.each(['', ' ', "it's", '$(x) `y` "z"', 'a\nb', '--', '-n', '*', '~', 'ä€'])(
  'quotes %j for the shell',
  (text) => {
    expect(execFileSync('sh', ['-c', `printf %s ${quote(text)}`], { encoding: 'utf8' })).toBe(text);
  },
);
