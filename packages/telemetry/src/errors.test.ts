import { describe, expect, it } from '@jest/globals';
import { errorCodes } from './error-codes/index.ts';
import { WeftError, describeError, systemErrorCode } from './errors.ts';

describe('errors', () => {
  it('say their code, their message and their causes in one line', () => {
    const cause = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    const error = new WeftError('WEFT1010', 'no answer from 10.0.0.1', { cause });
    expect(describeError(error)).toBe('WEFT1010 no answer from 10.0.0.1: connect ECONNREFUSED');
    expect(error.next).toBe(errorCodes.WEFT1010.next);
    expect(systemErrorCode(cause)).toBe('ECONNREFUSED');
  });

  it('are known by their brand, also from another copy of the module', () => {
    expect(WeftError.is({ [Symbol.for('weft.error')]: true })).toBe(true);
    expect(WeftError.is(new Error('x'))).toBe(false);
  });

  it('stop at a cause that goes round in circles', () => {
    const error = new Error('a');
    error.cause = error;
    expect(describeError(error).length).toBeLessThan(40);
  });

  it.each(Object.entries(errorCodes))(
    '%s says what it means and what to do next',
    (_code, { layer, title, next }) => {
      expect(layer).not.toBe('');
      expect(title.length).toBeGreaterThan(10);
      expect(next).toMatch(/\.$/);
    },
  );
});
