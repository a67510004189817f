import { closeSync, fsyncSync, openSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/**
 * Readers see the old file or the new one, never half of it, also after the node loses its power. An existing file
 * keeps its mode; `extraMode` is added to it.
 */
export function writeAtomically(
  file: string,
  content: string | Uint8Array,
  defaultMode: number,
  extraMode = 0,
): void {
  const mode = (statSync(file, { throwIfNoEntry: false })?.mode ?? defaultMode) | extraMode;
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  rmSync(temporary, { force: true });
  const fd = openSync(temporary, 'wx', mode & 0o777);
  try {
    writeFileSync(fd, content);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
  renameSync(temporary, file);
  syncDirectory(path.dirname(file));
}

function syncDirectory(dir: string): void {
  const fd = openSync(dir, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}
