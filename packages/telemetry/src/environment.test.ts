import { describe, expect, it } from '@jest/globals';
import { Environment, parseDurationMs } from './environment.ts';

describe('environment', () => {
  it.each([
    ['10s', 10_000],
    ['1h30m', 5_400_000],
    ['250ms', 250],
    ['1.5s', 1_500],
    ['0', 0],
    ['10', undefined],
    ['s', undefined],
    ['-1s', undefined],
    ['1 s', undefined],
  ])('reads the duration %j as %p ms', (text, expected) => {
    expect(parseDurationMs(text)).toBe(expected);
  });

  it.each([
    ['boolean', 'yes', (e: Environment) => e.boolean('X', false)],
    ['integer', '1e3', (e: Environment) => e.integer('X', 0)],
    ['port', '70000', (e: Environment) => e.integer('X', 0, { max: 65_535 })],
    ['choice', 'c', (e: Environment) => e.oneOf('X', ['a', 'b'], 'a')],
    ['duration', 'soon', (e: Environment) => e.durationMs('X', 0)],
  ])('refuses a %s that is %j and names the variable', (_kind, value, read) => {
    expect(() => read(new Environment({ X: value }))).toThrow(/X=/);
  });

  it('tells what is set from what is empty', () => {
    const env = new Environment({ EMPTY: '', XDS_HEADER_a: '1' });
    expect(env.optional('EMPTY')).toBe('');
    expect(env.optional('NONE')).toBeUndefined();
    expect(env.boolean('EMPTY', true)).toBe(true);
    expect([...env.withPrefix('XDS_HEADER_')]).toEqual([['a', '1']]);
    expect(() => env.required('EMPTY')).toThrow(/EMPTY is not set/);
  });
});
