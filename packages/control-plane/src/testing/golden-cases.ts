import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseAllDocuments } from 'yaml';

const BASE = 'base';

/** Objects as users write them, one file a case, each on top of `base.yaml` where there is one; JSON beside them. */
export class GoldenDirectory {
  readonly cases: readonly string[];
  private readonly directory: string;
  private readonly base: readonly string[];

  /** @param name a directory of this package's `src` */
  constructor(name: string) {
    this.directory = path.join(import.meta.dirname, '../../src', name);
    const files = readdirSync(this.directory)
      .filter((file) => file.endsWith('.yaml'))
      .map((file) => file.slice(0, -'.yaml'.length));
    this.base = files.filter((file) => file === BASE);
    this.cases = files.filter((file) => file !== BASE);
  }

  /** Each object of a case, in YAML. */
  objects(name: string): readonly string[] {
    return [...this.base, name].flatMap((file) => {
      const text = readFileSync(path.join(this.directory, `${file}.yaml`), 'utf8');
      return parseAllDocuments(text).flatMap((document) =>
        document.contents === null ? [] : [document.toString()],
      );
    });
  }

  /**
   * What is expected of a case. With `WEFT_UPDATE_GOLDEN=true` that becomes what is there now; the diff is then to be
   * read like code.
   */
  expected(name: string, actual: unknown): unknown {
    const file = path.join(this.directory, `${name}.json`);
    if (process.env['WEFT_UPDATE_GOLDEN'] === 'true')
      writeFileSync(file, `${JSON.stringify(actual, undefined, 2)}\n`);
    return JSON.parse(readFileSync(file, 'utf8'));
  }
}

/** Of what waypoints are told. */
export const networkingGolden = new GoldenDirectory('networking/golden');
const { cases } = networkingGolden;
export const goldenCases = cases;
export const goldenObjects = (name: string): readonly string[] => networkingGolden.objects(name);
