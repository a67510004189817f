import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from '@jest/globals';

const available = spawnSync('openssl', ['version']).status === 0;

/** A test against openssl, an oracle that isn't ours; skipped where it isn't installed. */
export function withOpenssl(
  name: string,
  test: (file: (name: string, text: string) => string) => void | Promise<void>,
): void {
  (available ? it : it.skip)(`${name} (openssl)`, async () => {
    const directory = mkdtempSync(join(tmpdir(), 'weft-openssl-'));
    try {
      await test((fileName, text) => {
        const path = join(directory, fileName);
        writeFileSync(path, text);
        return path;
      });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
}

/** Its output; throws with its messages when it fails. */
export function openssl(...args: readonly string[]): string {
  return execFileSync('openssl', args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}
