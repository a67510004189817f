import { describe, expect, it } from '@jest/globals';
import { planRootFilesystem, type ContainerMount, type HostFiles } from './root-filesystem.ts';

/** A merged-usr machine: `null` is a file, a string a link. */
const tree: Readonly<Record<string, null | string | readonly string[]>> = {
  '/': ['usr', 'bin', 'etc', 'opt', 'home', 'tmp'],
  '/usr': ['bin', 'share'],
  '/usr/bin': ['node'],
  '/usr/bin/node': null,
  '/usr/share': ['doc'],
  '/usr/share/doc': [],
  '/bin': 'usr/bin',
  '/etc': ['hosts', 'resolv.conf', 'ssl'],
  '/etc/hosts': null,
  '/etc/resolv.conf': '../run/systemd/resolve/stub-resolv.conf',
  '/etc/ssl': ['certs'],
  '/etc/ssl/certs': [],
  '/opt': ['cni'],
  '/opt/cni': [],
  '/home': ['me'],
  '/home/me': ['app'],
  '/home/me/app': [],
  '/tmp': [],
};
const host: HostFiles = {
  kind: (path) => {
    const entry = tree[path];
    return entry === undefined
      ? undefined
      : entry === null
        ? 'file'
        : typeof entry === 'string'
          ? 'link'
          : 'directory';
  },
  list: (path) => {
    const entry = tree[path];
    return Array.isArray(entry) ? entry : [];
  },
  readLink: (path) => String(tree[path]),
};
const mount = (target: string, isDirectory = true): ContainerMount => ({
  source: `/volumes${target}`,
  target,
  isDirectory,
  readOnly: false,
  followsHost: false,
});
const plan = (
  mounts: readonly ContainerMount[],
  more: { binds?: string[]; allHostFiles?: boolean; workingDir?: string } = {},
) => planRootFilesystem({ binds: [], allHostFiles: false, workingDir: '/', mounts, ...more }, host);
const bindsOf = (p: ReturnType<typeof plan>): string[] => p.binds.map(({ target }) => target).sort();

describe('planRootFilesystem', () => {
  it('shows the system directories read-only and keeps the links of a merged machine', () => {
    const { links, directories, ...rest } = plan([]);
    expect(bindsOf({ links, directories, ...rest })).toEqual(['etc', 'opt', 'usr']);
    expect(links).toEqual(
      expect.arrayContaining([
        { path: 'bin', to: 'usr/bin' },
        { path: 'var/run', to: '../run' },
      ]),
    );
    expect(directories).toEqual(expect.arrayContaining(['tmp', 'run', 'var/log', 'proc', 'dev']));
  });

  it('mounts over a file that the host has too', () => {
    const { mounts, emptyFiles, binds } = plan([mount('/etc/hosts', false)]);
    expect(mounts[0]).toMatchObject({ target: 'etc/hosts', insideMount: false });
    expect(emptyFiles).toEqual([]);
    expect(binds.map(({ target }) => target)).toContain('etc');
  });

  it('shows what the image consists of also below a volume', () => {
    const { mounts, binds } = plan([mount('/home')], { binds: ['/home/me/app'] });
    expect(binds.map(({ target }) => target)).not.toContain('home/me/app');
    expect(mounts.map(({ target, readOnly, insideMount }) => [target, readOnly, insideMount])).toEqual([
      ['home', false, false],
      ['home/me/app', true, true],
    ]);
  });

  it('opens a host directory for a mount point that it does not have', () => {
    const { links, binds, directories } = plan([mount('/etc/istio/config')]);
    expect(binds).toContainEqual({ source: '/etc', target: '.weft/etc' });
    expect(binds.map(({ target }) => target)).not.toContain('etc');
    expect(links).toContainEqual({ path: 'etc/hosts', to: '../.weft/etc/hosts' });
    expect(directories).toEqual(expect.arrayContaining(['etc', 'etc/istio', 'etc/istio/config']));
  });

  it('never follows a link of the host to outside: a linked resolv.conf becomes a file of its own', () => {
    const { links, emptyFiles } = plan([mount('/etc/resolv.conf', false)]);
    expect(emptyFiles).toContain('etc/resolv.conf');
    expect(links.map(({ path }) => path)).not.toContain('etc/resolv.conf');
  });

  it('opens only as deep as it must', () => {
    const { links, directories } = plan([mount('/usr/share/nginx/html')]);
    expect(links).toContainEqual({ path: 'usr/bin', to: '../.weft/usr/bin' });
    expect(links).toContainEqual({ path: 'usr/share/doc', to: '../../.weft/usr/share/doc' });
    expect(directories).toContain('usr/share/nginx/html');
  });

  it('resolves its own links: /var/run is /run', () => {
    expect(plan([mount('/var/run/netns')]).directories).toContain('run/netns');
  });

  it('makes a mount point inside another mount at run time, after that one', () => {
    const { mounts } = plan([mount('/data/deep/er'), mount('/data')]);
    expect(mounts.map(({ target, insideMount }) => [target, insideMount])).toEqual([
      ['data', false],
      ['data/deep/er', true],
    ]);
  });

  it('puts a volume where the host has a directory of that name', () => {
    const { binds, directories } = plan([mount('/home')], { allHostFiles: true });
    expect(binds.map(({ target }) => target)).not.toContain('home');
    expect(directories).toContain('home');
  });

  it('shows an image its files, and everything to the host image except what a container has of its own', () => {
    expect(bindsOf(plan([], { binds: ['/home/me/app', '/usr/bin/node'] }))).toEqual([
      'etc',
      'home/me/app',
      'opt',
      'usr',
    ]);
    expect(bindsOf(plan([], { allHostFiles: true }))).toEqual(['etc', 'home', 'opt', 'usr']);
  });

  it('makes a working directory unless it exists', () => {
    expect(plan([], { workingDir: '/app/x' }).directories).toContain('app/x');
    expect(bindsOf(plan([], { workingDir: '/usr/share/doc' }))).toContain('usr');
  });

  it('refuses a target that climbs', () => {
    expect(() => plan([mount('/etc/../x')])).toThrow("must not contain '..'");
  });
});
