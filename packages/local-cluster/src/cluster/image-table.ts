import { readFile } from 'node:fs/promises';
import { isAbsolute } from 'node:path';
import { WeftError } from '@weft/telemetry';

/** Which local command an image stands for. The kubelet matches `pattern` (`registry/repo:*`) and parses the rest. */
export interface ImageEntry {
  readonly pattern: string;
  readonly command: readonly string[];
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Directories that the container sees read-only at the same path. */
  readonly binds?: readonly string[];
  readonly workingDir?: string;
}

export interface ImageTable {
  readonly images: readonly ImageEntry[];
}

/**
 * The table, and every absolute path that it names.
 * @throws WEFT1001 when the file can't be read or isn't a table
 */
export async function readImageTable(
  source: string | ImageTable | undefined,
): Promise<{ readonly table: ImageTable; readonly paths: readonly string[] }> {
  const table = typeof source === 'string' ? await parseFile(source) : (source ?? { images: [] });
  const paths = table.images
    .flatMap((image) => [...image.command, ...(image.args ?? []), ...(image.binds ?? [])])
    .filter((path) => isAbsolute(path));
  return { table, paths: [...new Set(paths)] };
}

async function parseFile(path: string): Promise<ImageTable> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new WeftError('WEFT1001', `image table ${path} can't be read`, { cause: error });
  }
  const images =
    typeof parsed === 'object' && parsed !== null && 'images' in parsed ? parsed.images : undefined;
  if (!Array.isArray(images)) throw new WeftError('WEFT1001', `image table ${path}: images: expected a list`);
  for (const [index, image] of images.entries()) checkEntry(image, `image table ${path}: images[${index}]`);
  return { images: images as ImageEntry[] }; // checked entry by entry above
}

function checkEntry(entry: unknown, where: string): asserts entry is ImageEntry {
  const fail = (what: string) => new WeftError('WEFT1001', `${where}: ${what}`);
  if (typeof entry !== 'object' || entry === null) throw fail('expected an object');
  const { pattern, command, args = [], binds = [] } = entry as Partial<Record<keyof ImageEntry, unknown>>; // any object
  if (typeof pattern !== 'string' || pattern === '') throw fail('pattern: expected a string');
  for (const [field, value] of Object.entries({ command, args, binds })) {
    if (!Array.isArray(value) || value.some((item) => typeof item !== 'string')) {
      throw fail(`${field}: expected a list of strings`);
    }
  }
}
