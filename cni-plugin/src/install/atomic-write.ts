import { renameSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';

/** Readers see the old file or the new one, never half of it. An existing file keeps its mode. */
export function writeAtomically(file: string, content: string | Uint8Array, defaultMode: number): void {
  const mode = statSync(file, { throwIfNoEntry: false })?.mode ?? defaultMode;
  const temporary = path.join(path.dirname(file), `.${path.basename(file)}.${process.pid}.tmp`);
  writeFileSync(temporary, content, { mode: mode & 0o777 });
  renameSync(temporary, file);
}
