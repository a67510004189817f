import path from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { capture } from '@weft/cli';
import { workspace } from './kit/local-mesh.ts';
import { PlainUser } from './kit/plain-user.ts';

const TOUR = 'e2e/dist/demo/main.js';
const isRoot = process.getuid?.() === 0;

jest.setTimeout(240_000);

/** `npm run demo` ends with an error unless everything it shows was really so. */
describe('the tour', () => {
  it('keeps every promise to the user who runs it, in about 30 lines', async () => {
    const output = await capture(process.execPath, [path.join(workspace, TOUR)]);
    expect(output).toContain('All as promised');
    expect(output.trim().split('\n').length).toBeLessThanOrEqual(40);
  });

  (isRoot ? it : it.skip)('keeps them to a user without root and without subordinate ids', async () => {
    const user = await PlainUser.create();
    try {
      const output = await user.run(TOUR);
      expect(output).toContain('(single-user)');
      expect(output).toContain('All as promised');
    } finally {
      await user.remove();
    }
  });
});
