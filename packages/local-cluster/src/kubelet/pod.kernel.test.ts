import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

const run = promisify(execFile);
const scenario = fileURLToPath(new URL('./testing/pod.scenario.js', import.meta.url));
const isRoot = process.getuid?.() === 0;

/** The flags of `unshare` for a node of the scenario's own, whose end takes everything along. */
const namespaces = ['--net', '--mount', '--uts', '--pid', '--fork', '--kill-child', '--mount-proc'];
const modes: readonly (readonly [string, readonly string[]])[] = [
  ...(isRoot ? ([['root', ['unshare', ...namespaces]]] as const) : []),
  ['a plain user', [...asPlainUser(), 'unshare', '--user', '--map-root-user', ...namespaces]],
];

function asPlainUser(): readonly string[] {
  return isRoot ? ['runuser', '-u', 'nobody', '--'] : [];
}

skipIf(Sandbox.unavailable, describe).each(modes)('pods of %s', (who, command) => {
  it('run as their specification says, and leave nothing', async () => {
    const [file, ...args] = [...command, process.execPath, scenario];
    const { stdout } = await run(file, args, { timeout: 60_000 });
    const seen = JSON.parse(stdout) as Record<string, unknown>; // printed by the scenario
    expect(seen).toMatchObject({
      environment: `${String(seen['clientIp'])} client`,
      fetched: expect.stringContaining(String(seen['clientIp'])),
      shared: 'from init',
      settings: 'debug',
      token: 'token 1 of client for ca',
      hostFile: 'of the hostread-only',
      rootFile: 'read-only',
      memory: '1',
      processOne: 'sh',
      resolver: 'nameserver 10.96.0.10',
      followed: 3,
      crashed: { exitCode: 3, message: 'last words', phase: 'Running' },
      job: 'Succeeded',
      log: ['stderr F err', 'stdout F out'],
      user: '1337:1337 1',
      adminUid: '0',
      adminMay: 'yes',
      removed: ['admin', 'client', 'crash', 'job', 'server', 'user'],
      left: {
        namespaces: [],
        links: '',
        addresses: [],
        results: [],
        pods: [],
        logs: [],
        mounts: [],
        children: '',
      },
    });
    expect(seen).toMatchObject(
      who === 'root' ? { adminGid: '1337', warnings: 0 } : { adminGid: '0', warnings: 1 },
    );
  }, 90_000);
});
