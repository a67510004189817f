import { readFileSync, statSync } from 'node:fs';
import { WeftError } from '@weft/telemetry';

/** What an image name stands for on this machine. */
export interface ImageEntry {
  /** `registry/repository:tag` with `*` for any run of characters; without a tag it means any tag. */
  readonly pattern: string;
  /** Used when the container names no command, as an image's entry point is. */
  readonly command: readonly string[];
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Host directories or files to show read-only at the same path. */
  readonly binds: readonly string[];
  readonly workingDir: string;
  /** True for the built-in image: the whole machine is shown read-only. */
  readonly hostFiles: boolean;
}

/** Runs the pod's own command on the machine's files. */
const hostImage: ImageEntry = {
  pattern: 'localhost/host',
  command: [],
  args: [],
  env: {},
  binds: [],
  workingDir: '/',
  hostFiles: true,
};

/** The image table, re-read when its file changes, so that images can be added to a running cluster. */
export class ImageTable {
  private readonly path: string;
  private entries: readonly ImageEntry[] = [];
  private version = '';

  constructor(path: string) {
    this.path = path;
  }

  /** Throws WEFT2061 for a damaged table and WEFT2062 for an unknown image. */
  resolve(image: string): ImageEntry {
    this.refresh();
    const entry = findImage([hostImage, ...this.entries], image);
    if (entry !== undefined) return entry;
    throw new WeftError('WEFT2062', `no command is known for image ${JSON.stringify(image)}`);
  }

  private refresh(): void {
    let version: string;
    try {
      const { mtimeMs, size, ino } = statSync(this.path);
      version = `${mtimeMs} ${size} ${ino}`;
    } catch (error) {
      throw new WeftError('WEFT2061', `${this.path} can't be read`, { cause: error });
    }
    if (version === this.version) return;
    this.entries = parseImageTable(readFileSync(this.path, 'utf8'), this.path);
    this.version = version;
  }
}

/** The first entry whose pattern matches. */
export function findImage(entries: readonly ImageEntry[], image: string): ImageEntry | undefined {
  const name = withTag(image);
  return entries.find(({ pattern }) => {
    const complete = hasTag(pattern) ? pattern : `${pattern}:*`;
    return globToRegExp(complete).test(name) || globToRegExp(complete).test(image);
  });
}

export function parseImageTable(text: string, source: string): readonly ImageEntry[] {
  const wrong = (what: string): WeftError => new WeftError('WEFT2061', `${source}: ${what}`);
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT2061', `${source} is not JSON`, { cause: error });
  }
  const images =
    typeof parsed === 'object' && parsed !== null && 'images' in parsed ? parsed.images : undefined;
  if (!Array.isArray(images)) throw wrong('images is not a list');
  return images.map((entry: unknown, index) => {
    const at = `images[${index}]`;
    if (typeof entry !== 'object' || entry === null) throw wrong(`${at} is not an object`);
    const fields = entry as Record<string, unknown>; // every field is checked below
    const { pattern, workingDir = '/', env = {} } = fields;
    if (typeof pattern !== 'string' || pattern === '') throw wrong(`${at}.pattern is not a string`);
    if (typeof workingDir !== 'string') throw wrong(`${at}.workingDir is not a string`);
    if (!isStringMap(env)) throw wrong(`${at}.env is not an object of strings`);
    const list = (name: string): readonly string[] => {
      const value = fields[name] ?? [];
      if (isStringList(value)) return value;
      throw wrong(`${at}.${name} is not a list of strings`);
    };
    const binds = list('binds');
    const relative = binds.find((path) => !path.startsWith('/'));
    if (relative !== undefined) throw wrong(`${at}.binds: ${relative} is not an absolute path`);
    return {
      pattern,
      command: list('command'),
      args: list('args'),
      env,
      binds,
      workingDir,
      hostFiles: false,
    };
  });
}

function hasTag(image: string): boolean {
  const last = image.slice(image.lastIndexOf('/') + 1);
  return last.includes(':') || last.includes('@');
}

function withTag(image: string): string {
  return hasTag(image) ? image : `${image}:latest`;
}

function globToRegExp(glob: string): RegExp {
  const escaped = glob.replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`);
}

function isStringList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === 'string');
}

function isStringMap(value: unknown): value is Readonly<Record<string, string>> {
  return typeof value === 'object' && value !== null && isStringList(Object.values(value));
}
