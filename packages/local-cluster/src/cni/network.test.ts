import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { PodNetwork, readIps, type Attachment } from './network.ts';

let directory: string;
let network: PodNetwork;
const attachment: Attachment = {
  containerId: 'abc',
  netns: '/var/run/netns/cni-1',
  pod: { namespace: 'ns', name: 'pod', uid: 'uid-1' },
  runtimeConfig: { portMappings: [{ hostPort: 80 }], bandwidth: {} },
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'weft-cni-'));
  await mkdir(join(directory, 'bin'));
  await mkdir(join(directory, 'net.d'));
  // Each plugin notes its call and answers with its own name added to the result.
  await plugin('base', '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}],"seen":["base"]}');
  await plugin(
    'chained',
    '{"cniVersion":"1.0.0","ips":[{"address":"10.1.2.3/24"}],"seen":["base","chained"]}',
  );
  await configure([
    { type: 'base', capabilities: { portMappings: true, bandwidth: false } },
    { type: 'chained', mode: 'x' },
  ]);
  network = new PodNetwork({
    confDir: join(directory, 'net.d'),
    binDirs: [join(directory, 'bin')],
    cacheDir: join(directory, 'cache'),
  });
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function plugin(name: string, answer: string, exitCode = 0): Promise<void> {
  const path = join(directory, 'bin', name);
  const log = join(directory, 'calls');
  await writeFile(
    path,
    `#!/bin/sh\nread -r input\nprintf '%s\\n' "{\\"plugin\\":\\"${name}\\",\\"command\\":\\"$CNI_COMMAND\\",\\"args\\":\\"$CNI_ARGS\\",\\"netns\\":\\"$CNI_NETNS\\",\\"config\\":$input}" >>${log}\n[ "$CNI_COMMAND" = ADD ] && echo '${answer}'\nexit ${exitCode}\n`,
  );
  await chmod(path, 0o755);
}

async function configure(plugins: readonly unknown[]): Promise<void> {
  await writeFile(
    join(directory, 'net.d', '10-test.conflist'),
    JSON.stringify({ cniVersion: '1.0.0', name: 'test', plugins }),
  );
}

interface Call {
  readonly plugin: string;
  readonly command: string;
  readonly args: string;
  readonly netns: string;
  readonly config: Readonly<Record<string, unknown>>;
}
async function calls(): Promise<Call[]> {
  const text = await readFile(join(directory, 'calls'), 'utf8').catch(() => '');
  return text
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Call); // written by the plugins above
}

describe('PodNetwork', () => {
  it('adds down the chain, each plugin with the result of the one before', async () => {
    expect(await network.attach(attachment)).toEqual({ ips: ['10.1.2.3'] });
    const [base, chained] = await calls();
    expect(base).toMatchObject({ plugin: 'base', command: 'ADD', netns: '/var/run/netns/cni-1' });
    expect(base?.args).toBe(
      'IgnoreUnknown=1;K8S_POD_NAMESPACE=ns;K8S_POD_NAME=pod;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=uid-1',
    );
    expect(base?.config).toEqual({
      type: 'base',
      name: 'test',
      cniVersion: '1.0.0',
      runtimeConfig: { portMappings: [{ hostPort: 80 }] },
    });
    expect(chained?.config).toMatchObject({ type: 'chained', mode: 'x', prevResult: { seen: ['base'] } });
    expect(chained?.config).not.toHaveProperty('runtimeConfig');
  });

  it('lets a pod end whose chained plugin was uninstalled since, but not one whose plugin is merely missing', async () => {
    await network.attach(attachment);
    await rm(join(directory, 'bin', 'chained'));
    await expect(network.detach(attachment)).rejects.toMatchObject({ code: 'WEFT2067' });
    await configure([{ type: 'base' }]);
    await network.detach(attachment);
    // Both times: what one plugin can't undo is no reason to leak what the others hold.
    expect((await calls()).filter(({ command }) => command === 'DEL').map((call) => call.plugin)).toEqual([
      'base',
      'base',
    ]);
  });

  it('deletes up the chain with the configuration and result of the time of ADD', async () => {
    await network.attach(attachment);
    await configure([{ type: 'base' }]);
    await network.detach({ ...attachment, netns: '' });
    const deletions = (await calls()).filter(({ command }) => command === 'DEL');
    expect(deletions.map(({ plugin: name }) => name)).toEqual(['chained', 'base']);
    expect(deletions[0]).toMatchObject({ netns: '', config: { prevResult: { seen: ['base', 'chained'] } } });
    expect(await readdir(join(directory, 'cache'))).toEqual([]);
    await network.detach(attachment);
  });

  it('checks the whole chain with the final result', async () => {
    await network.attach(attachment);
    await network.check('abc');
    const checks = (await calls()).filter(({ command }) => command === 'CHECK');
    expect(checks.map(({ plugin: name }) => name)).toEqual(['base', 'chained']);
    expect(checks[0]?.config).toMatchObject({ prevResult: { seen: ['base', 'chained'] } });
    await expect(network.check('unknown')).rejects.toMatchObject({ code: 'WEFT2067' });
  });

  it("undoes a failed ADD and passes on the plugin's words", async () => {
    await plugin(
      'chained',
      '{"cniVersion":"1.0.0","code":11,"msg":"agent is away","details":"try later"}',
      1,
    );
    await expect(network.attach(attachment)).rejects.toMatchObject({
      code: 'WEFT2067',
      cniCode: 11,
      message: 'chained ADD: agent is away: try later (CNI code 11)',
    });
    expect((await calls()).map(({ plugin: name, command }) => `${command} ${name}`)).toEqual([
      'ADD base',
      'ADD chained',
      'DEL chained',
      'DEL base',
    ]);
    expect(await network.attachments()).toEqual([]);
  });

  it('remembers what it attached', async () => {
    await network.attach(attachment);
    expect(await network.attachments()).toEqual([attachment]);
  });

  it.each([
    ['a missing plugin', [{ type: 'none' }], 'plugin none is in none of'],
    ['a type that leaves the directory', [{ type: '../sh' }], "type is not a plugin's name"],
    ['an empty chain', [], 'plugins is not a list'],
  ])('refuses %s', async (_name, plugins, message) => {
    await configure(plugins);
    await expect(network.attach(attachment)).rejects.toThrow(message);
  });

  it('reads the lexically first file afresh each time, and a single plugin as a list of one', async () => {
    await writeFile(
      join(directory, 'net.d', '00-first.conf'),
      '{"cniVersion":"0.4.0","name":"single","type":"base"}',
    );
    expect(await network.config()).toMatchObject({
      name: 'single',
      cniVersion: '0.4.0',
      plugins: [{ type: 'base' }],
    });
    await rm(join(directory, 'net.d'), { recursive: true });
    expect(await network.config()).toBeUndefined();
  });
});

it('takes only the addresses inside the pod from a result', () => {
  const result = {
    interfaces: [{ name: 'br0' }, { name: 'eth0', sandbox: '/x' }],
    ips: [
      { address: '10.0.0.1/24', interface: 0 },
      { address: '10.0.0.2/24', interface: 1 },
      { address: 'fd00::2/64' },
    ],
  };
  expect(readIps(result)).toEqual(['10.0.0.2', 'fd00::2']);
  expect(() => readIps({ ips: [] })).toThrow('no addresses');
});
