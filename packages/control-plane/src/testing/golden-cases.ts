import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

/** Objects as users write them, in `networking/golden`: each case on top of `base.yaml`. */
export const goldenDirectory = path.join(import.meta.dirname, '../../src/networking/golden');

const BASE = 'base';

export const goldenCases: readonly string[] = readdirSync(goldenDirectory)
  .filter((file) => file.endsWith('.yaml') && file !== `${BASE}.yaml`)
  .map((file) => file.slice(0, -'.yaml'.length));

/** Each object of a case, in YAML. */
export function goldenObjects(name: string): readonly string[] {
  return [BASE, name].flatMap((file) => {
    const text = readFileSync(path.join(goldenDirectory, `${file}.yaml`), 'utf8');
    return parseAllDocuments(text).flatMap((document) =>
      document.contents === null ? [] : [document.toString()],
    );
  });
}
