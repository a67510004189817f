import { expect, it } from '@jest/globals';
import { WeftError } from '@weft/telemetry';
import { chooseEngine } from './engine-choice.ts';

const told: string[] = [];
const logger = { info: (message: string) => void told.push(message) };
const missing = (): Promise<void> =>
  Promise.reject(new WeftError('WEFT1343', 'x', { cause: new Error('SSL_new is missing') }));

it('proves the fast engine by a tunnel to itself, and leaves nothing open', async () => {
  await expect(chooseEngine('auto', logger)).resolves.toBe('fast');
});

it('takes the portable engine and says why in one line where the fast one lacks something', async () => {
  told.length = 0;
  await expect(chooseEngine('auto', logger, missing)).resolves.toBe('portable');
  expect(told).toEqual([
    expect.stringMatching(/^data threads have the portable engine: WEFT1343 .*SSL_new is missing$/),
  ]);
});

it('does not start without the fast engine where it is demanded', async () => {
  await expect(chooseEngine('fast', logger, missing)).rejects.toMatchObject({ code: 'WEFT1343' });
});

it('proves nothing where the portable engine is demanded', async () => {
  await expect(chooseEngine('portable', logger, missing)).resolves.toBe('portable');
});
