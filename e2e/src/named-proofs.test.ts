import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { workspace } from './kit/local-mesh.ts';

const read = (file: string): string => readFileSync(path.join(workspace, file), 'utf8');

interface Proof {
  readonly file: string;
  /** Quoted behind it: titles of tests, or names of golden cases. */
  readonly names: readonly string[];
}

/** `` `packages/x/src/y.test.ts`: "a title", "another" `` */
function proofsOf(page: string): readonly Proof[] {
  return [
    ...page.matchAll(/`((?:packages|cni-plugin|e2e)\/[^`]+\.test\.ts)`(?:: ("[^"]*"(?:, "[^"]*")*))?/g),
  ].map(([, file = '', quoted = '']) => ({
    file,
    names: [...quoted.matchAll(/"([^"]*)"/g)].map(([, name = '']) => name),
  }));
}

/** `separator` of the text stands for anything, which is captured. */
function patternOf(text: string, separator: RegExp): RegExp {
  return new RegExp(
    text
      .split(separator)
      .map((part) => part.replace(/[$()*+.?[\\\]^{|}]/g, '\\$&'))
      .join('(.*)'),
  );
}

/** A title may be quoted in part, with `…` for the rest, and with a table's case filled in. */
function standsIn(literals: readonly string[], name: string): boolean {
  const quoted = patternOf(name, /…/);
  if (literals.some((literal) => quoted.test(literal))) return true;
  return literals.some((literal) => {
    if (!literal.includes('%s')) return false;
    const filled = patternOf(literal, /%s/).exec(name);
    return filled?.slice(1).every((text) => literals.includes(text)) ?? false;
  });
}

function literalsOf(source: string): readonly string[] {
  return [...source.matchAll(/'((?:\\.|[^\n'\\])*)'|"((?:\\.|[^\n"\\])*)"|`((?:\\.|[^\\`])*)`/g)].map(
    ([, single, double, template]) => (single ?? double ?? template ?? '').replace(/\\(.)/g, '$1'),
  );
}

function isThere({ file, names }: Proof): boolean {
  if (!existsSync(path.join(workspace, file))) return false;
  const literals = literalsOf(read(file));
  const golden = (name: string): string => path.join(workspace, path.dirname(file), 'golden', `${name}.yaml`);
  return names.every((name) => existsSync(golden(name)) || standsIn(literals, name));
}

describe('a page that names its proofs', () => {
  it('docs/compatibility.md names tests that exist, by the titles that they have', () => {
    const proofs = proofsOf(read('docs/compatibility.md'));
    expect(proofs.flatMap(({ names }) => names).length).toBeGreaterThan(200);
    expect(proofs.filter((proof) => !isThere(proof))).toEqual([]);
  });

  it('docs/translation-rules.md names cases and tests that exist', () => {
    const page = read('docs/translation-rules.md');
    const source = path.join(workspace, 'packages/control-plane/src');
    const named = [...page.matchAll(/`((?:ambient|networking)\/[a-z-]+|[a-z]+\/[a-z-]+\.test\.ts)`/g)]
      .map(([, proof = '']) => proof)
      .filter((proof) => proof !== 'ambient/x' && proof !== 'networking/x');
    expect(named.length).toBeGreaterThan(50);
    const fileOf = (proof: string): string =>
      proof.endsWith('.ts') ? proof : `${path.dirname(proof)}/golden/${path.basename(proof)}.yaml`;
    expect(named.filter((proof) => !existsSync(path.join(source, fileOf(proof))))).toEqual([]);
  });
});
