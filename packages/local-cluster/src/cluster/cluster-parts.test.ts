import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { bootstrapObjects } from './bootstrap-objects.ts';
import { readImageTable } from './image-table.ts';
import { renderKubeconfig } from './kubeconfig.ts';
import { LauncherLock } from './launcher-lock.ts';
import { processStartTime } from './namespaces.ts';
import { ensurePki, pkiFiles } from './pki.ts';
import { RotatingLog } from './rotating-log.ts';
import { defaultStateDirectory } from './state-directory.ts';
import { nextRestartDelayMs, RESTART_BACKOFF_MAX_MS, RESTART_BACKOFF_MIN_MS } from './supervised-process.ts';
import { nodeInterfaceCommands, nodeLinkCommands, planTopology } from './topology.ts';

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'weft-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

describe('topology', () => {
  it('routes every pod network to its node, from the LAN and from each other node', () => {
    const topology = planTopology(3);
    const [first, second] = topology.nodes;
    if (first === undefined || second === undefined) throw new Error('too few nodes');
    expect(nodeInterfaceCommands(topology, second)).toEqual([
      'link set lo up',
      'addr add 172.18.0.3/24 dev eth0',
      'link set eth0 up',
      'route add default via 172.18.0.1',
      'route add 10.244.0.0/24 via 172.18.0.2',
      'route add 10.244.2.0/24 via 172.18.0.4',
    ]);
    expect(nodeLinkCommands(topology, first, 42)).toEqual([
      'link add node-1 type veth peer name eth0 netns 42',
      'link set node-1 master weft0 up',
      'route replace 10.244.0.0/24 via 172.18.0.2',
      'route replace 172.18.0.192/26 via 172.18.0.2',
    ]);
  });

  it.each([0, 17, 1.5])('has no plan for %d nodes', (count) => {
    expect(() => planTopology(count)).toThrow(expect.objectContaining({ code: 'WEFT2009' }));
  });
});

describe('bootstrap objects', () => {
  it('come with namespaces first, and bind every role that they define for somebody', () => {
    const objects = bootstrapObjects(planTopology(2));
    expect(objects.slice(0, 4).every(({ type }) => type.kind === 'Namespace')).toBe(true);
    const names = (kind: string) =>
      objects.filter(({ type }) => type.kind === kind).map(({ object }) => object.metadata.name ?? '');
    for (const bound of names('ClusterRoleBinding')) expect(names('ClusterRole')).toContain(bound);
    expect(names('ClusterRole')).toEqual(
      expect.arrayContaining(['cluster-admin', 'admin', 'edit', 'view', 'system:auth-delegator']),
    );
  });
});

describe('state of the launcher', () => {
  it('goes to XDG_STATE_HOME when that is an absolute path, else to ~/.local/state', () => {
    expect(defaultStateDirectory('a', { XDG_STATE_HOME: '/x' })).toBe('/x/weft/a');
    expect(defaultStateDirectory('a', { XDG_STATE_HOME: 'x' })).toMatch(/\/\.local\/state\/weft\/a$/);
  });

  it('lets one launcher at a time in, and takes over from one that died', async () => {
    const path = join(directory, 'lock');
    {
      await using _held = await LauncherLock.acquire(path);
      await expect(LauncherLock.acquire(path)).rejects.toMatchObject({ code: 'WEFT2003' });
    }
    writeFileSync(path, '999999999 12345');
    await using _taken = await LauncherLock.acquire(path);
    expect(readFileSync(path, 'utf8')).toBe(`${process.pid} ${await processStartTime(process.pid)}`);
  });

  it('keeps authority and service account key over a restart', async () => {
    const topology = planTopology(1);
    const files = pkiFiles(directory);
    const first = await ensurePki(directory, topology);
    const key = readFileSync(files.key('service-account'), 'utf8');
    const second = await ensurePki(directory, topology);
    expect(second.caPem).toBe(first.caPem);
    expect(readFileSync(files.key('service-account'), 'utf8')).toBe(key);
  });

  it('writes a kubeconfig that carries everything inline', () => {
    const text = renderKubeconfig({
      clusterName: 'c',
      server: 'https://127.0.0.1:1',
      caPem: 'CA',
      clientCertPem: 'CERT',
      clientKeyPem: 'KEY',
    });
    expect(parse(text)).toMatchObject({
      'current-context': 'weft-c',
      clusters: [{ cluster: { server: 'https://127.0.0.1:1', 'certificate-authority-data': 'Q0E=' } }],
      users: [{ user: { 'client-certificate-data': 'Q0VSVA==', 'client-key-data': 'S0VZ' } }],
    });
  });

  it('refuses an image table with the place of its fault', async () => {
    const path = join(directory, 'images.json');
    writeFileSync(path, '{"images":[{"pattern":"a:*","command":"sh"}]}');
    await expect(readImageTable(path)).rejects.toMatchObject({
      code: 'WEFT1001',
      message: `image table ${path}: images[0]: command: expected a list of strings`,
    });
  });
});

describe('supervision', () => {
  it('waits longer after each crash, up to a limit, and forgets crashes of a process that ran long', () => {
    expect(nextRestartDelayMs(0, 10)).toBe(RESTART_BACKOFF_MIN_MS);
    expect(nextRestartDelayMs(400, 10)).toBe(800);
    expect(nextRestartDelayMs(RESTART_BACKOFF_MAX_MS, 10)).toBe(RESTART_BACKOFF_MAX_MS);
    expect(nextRestartDelayMs(RESTART_BACKOFF_MAX_MS, 60_000)).toBe(RESTART_BACKOFF_MIN_MS);
  });

  it('keeps the newest log and one before it', () => {
    const path = join(directory, 'a.log');
    const log = new RotatingLog(path, 10);
    for (const line of ['first\n', 'second\n', 'third\n']) log.write(Buffer.from(line));
    log.close();
    expect(readFileSync(path, 'utf8')).toBe('third\n');
    expect(readFileSync(`${path}.1`, 'utf8')).toBe('second\n');
  });
});
