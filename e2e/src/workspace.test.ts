import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { workspace } from './kit/local-mesh.ts';

/** From the top to the bottom: a package may depend on those after it only. */
const order = [
  'e2e',
  'cli',
  'local-cluster',
  'cni-plugin',
  'bench',
  'control-plane',
  'ztunnel',
  'waypoint',
  'proxy',
  'hbone',
  'xds',
  'spiffe',
  'kubernetes',
  'collections',
  'telemetry',
  'linux',
  'api',
];
const folderOf = (name: string): string =>
  ['e2e', 'bench', 'cni-plugin'].includes(name) ? name : path.join('packages', name);
const readJson = (...file: string[]): Record<string, unknown> =>
  JSON.parse(readFileSync(path.join(workspace, ...file), 'utf8')) as Record<string, unknown>; // package.json and tsconfig.json are objects

describe('the workspace', () => {
  it('has every package in the order of dependency', () => {
    const found = [...readdirSync(path.join(workspace, 'packages')), 'e2e', 'bench', 'cni-plugin'];
    expect(found.sort()).toEqual([...order].sort());
  });

  it.each(order)('%s depends on lower packages only, and says so to the compiler too', (name) => {
    const { dependencies = {} } = readJson(folderOf(name), 'package.json') as {
      dependencies?: Record<string, string>;
    };
    const { references = [] } = readJson(folderOf(name), 'tsconfig.json') as {
      references?: { path: string }[];
    };
    const used = Object.keys(dependencies).flatMap((d) =>
      d.startsWith('@weft/') ? [d.slice('@weft/'.length)] : [],
    );
    const below = order.slice(order.indexOf(name) + 1);
    expect(used.filter((dependency) => !below.includes(dependency))).toEqual([]);
    expect(references.map((reference) => path.basename(reference.path)).sort()).toEqual(used.sort());
  });

  it('has no path of a developer’s machine and no registry in its files', () => {
    const files = (dir: string): string[] =>
      readdirSync(path.join(workspace, dir), { withFileTypes: true }).flatMap((entry) => {
        if (['node_modules', 'dist', '.git', 'generated', '.cache', '.turbo', 'charts'].includes(entry.name))
          return [];
        const file = path.join(dir, entry.name);
        return entry.isDirectory() ? files(file) : [file];
      });
    const offenders = files('.').filter((file) => {
      if (file === 'pnpm-lock.yaml') return false;
      const text = readFileSync(path.join(workspace, file), 'utf8');
      return (
        /\/(?:work|root)\/(?:main|shared)|registry\.npmjs|\.\.\/shared\//.test(text) &&
        !file.endsWith('workspace.test.ts')
      );
    });
    expect(offenders).toEqual([]);
  });

  it.each(['README.md', 'ARCHITECTURE.md', 'docs/compatibility.md', 'docs/errors.md', 'docs/limits.md'])(
    'has %s',
    (file) => {
      expect(existsSync(path.join(workspace, file))).toBe(true);
    },
  );

  it('tells of every metric of its own', () => {
    const sources = order.flatMap((name) =>
      readdirSync(path.join(workspace, folderOf(name), 'src'), { recursive: true, encoding: 'utf8' })
        .filter((file) => file.endsWith('metrics.ts'))
        .map((file) => readFileSync(path.join(workspace, folderOf(name), 'src', file), 'utf8')),
    );
    const metrics = sources.flatMap((text) => text.match(/(?<=name: ')weft_\w+/g) ?? []);
    const page = readFileSync(path.join(workspace, 'docs/compatibility.md'), 'utf8');
    expect(metrics.length).toBeGreaterThan(5);
    expect(metrics.filter((metric) => !page.includes(`\`${metric}\``))).toEqual([]);
  });

  it.each(order)('%s has a README', (name) => {
    expect(existsSync(path.join(workspace, folderOf(name), 'README.md'))).toBe(true);
  });
});
