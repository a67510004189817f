import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { invoke } from './plugin.ts';

const environment = {
  CNI_COMMAND: 'ADD',
  CNI_CONTAINERID: 'c1',
  CNI_NETNS: '/var/run/netns/cni-1',
  CNI_IFNAME: 'eth0',
  CNI_ARGS: 'IgnoreUnknown=1',
};
const signal = new AbortController().signal;
const call = async (
  variables: Readonly<Record<string, string>>,
  stdin: unknown = { cniVersion: '1.1.0' },
): Promise<{ exitCode: number; answer: unknown }> => {
  const text = typeof stdin === 'string' ? stdin : JSON.stringify(stdin);
  const { exitCode, output } = await invoke(
    { ...environment, ...variables },
    () => Promise.resolve(text),
    signal,
  );
  return { exitCode, answer: output === '' ? undefined : JSON.parse(output) };
};
const refused = (code: number, msg: string): unknown => ({
  exitCode: 1,
  answer: expect.objectContaining({ code, msg: expect.stringContaining(msg) }),
});

describe('the CNI protocol', () => {
  it.each([['0.3.1'], ['1.0.0'], ['1.1.0']])(
    'tells a runtime of version %s which versions it speaks',
    async (cniVersion) => {
      expect(await call({ CNI_COMMAND: 'VERSION' }, { cniVersion })).toEqual({
        exitCode: 0,
        answer: { cniVersion, supportedVersions: ['0.3.0', '0.3.1', '0.4.0', '1.0.0', '1.1.0'] },
      });
    },
  );

  it.each([
    ['ADD', '0.3.1', 'works'],
    ['ADD', '1.1.0', 'works'],
    ['DEL', '0.3.1', 'works'],
    ['CHECK', '0.3.1', 'has no such command'],
    ['CHECK', '0.4.0', 'works'],
    ['GC', '1.0.0', 'has no such command'],
    ['GC', '1.1.0', 'works'],
    ['STATUS', '1.0.0', 'has no such command'],
    ['STATUS', '1.1.0', 'works'],
  ])('%s with version %s %s', async (CNI_COMMAND, cniVersion, expected) => {
    const { exitCode, answer } = await call({ CNI_COMMAND }, { cniVersion });
    if (expected === 'works') {
      expect(exitCode).toBe(0);
      expect(answer).toEqual(CNI_COMMAND === 'ADD' ? { cniVersion } : undefined);
    } else {
      expect({ exitCode, answer }).toEqual(refused(1, `${CNI_COMMAND} needs CNI version`));
    }
  });

  it.each([
    ['an unknown command', { CNI_COMMAND: 'FROB' }, 'CNI_COMMAND'],
    ['no command', { CNI_COMMAND: '' }, 'CNI_COMMAND'],
    [
      'ADD without namespace and interface',
      { CNI_NETNS: '', CNI_IFNAME: '' },
      'CNI_NETNS, CNI_IFNAME missing',
    ],
    ['DEL without container', { CNI_COMMAND: 'DEL', CNI_CONTAINERID: '' }, 'CNI_CONTAINERID missing'],
    ['a container that is a path', { CNI_CONTAINERID: '../x' }, 'CNI_CONTAINERID'],
    ['an interface with a slash', { CNI_IFNAME: 'a/b' }, 'CNI_IFNAME'],
    ['an interface that is too long', { CNI_IFNAME: 'a'.repeat(16) }, 'CNI_IFNAME'],
    ['a pod that would forge a log line', { CNI_ARGS: 'K8S_POD_NAME=a\nb' }, 'K8S_POD_NAME'],
  ])('answers %s with code 4', async (_what, variables, msg) => {
    expect(await call(variables)).toEqual(refused(4, msg));
  });

  it('deletes though the namespace is gone, again and again', async () => {
    const once = await call({ CNI_COMMAND: 'DEL', CNI_NETNS: '' });
    expect(once).toEqual({ exitCode: 0, answer: undefined });
    expect(await call({ CNI_COMMAND: 'DEL', CNI_NETNS: '' })).toEqual(once);
  });

  it.each([
    ['no JSON', '{', 6, 'no JSON'],
    ['nothing', '', 6, 'no JSON'],
    ['a list', '[]', 6, 'no object'],
    ['null', 'null', 6, 'no object'],
    ['a version that is a number', { cniVersion: 1 }, 6, 'cniVersion'],
    ['no version, which means the first one', {}, 1, '0.1.0'],
    ['a version from the future', { cniVersion: '9.9.9' }, 1, '9.9.9'],
    [
      'selectors of another type',
      { cniVersion: '1.1.0', enablement_selectors: 'x' },
      6,
      'enablement_selectors',
    ],
    [
      'a selector that means nothing',
      { cniVersion: '1.1.0', enablement_selectors: [1] },
      7,
      'enablement_selectors[0]',
    ],
    ['a folder of another type', { cniVersion: '1.1.0', cni_agent_run_dir: {} }, 6, 'cni_agent_run_dir'],
    ['a result of another type', { cniVersion: '1.1.0', prevResult: 'x' }, 6, 'prevResult'],
    ['addresses of another type', { cniVersion: '1.1.0', prevResult: { ips: {} } }, 6, 'prevResult.ips'],
    [
      'an address without prefix',
      { cniVersion: '1.1.0', prevResult: { ips: [{ address: '10.0.0.1' }] } },
      6,
      'ips[0]',
    ],
    [
      'an address that is none',
      { cniVersion: '1.1.0', prevResult: { ips: [{ address: 'x/8' }] } },
      6,
      'ips[0]',
    ],
    [
      'a prefix that is too long',
      { cniVersion: '1.1.0', prevResult: { ips: [{ address: '::1/129' }] } },
      6,
      'ips[0]',
    ],
  ])('answers %s on standard input with its code', async (_what, stdin, code, msg) => {
    expect(await call({}, stdin)).toEqual(refused(code, msg));
  });

  it('answers any JSON with a result or with an error object', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.json(),
        fc.constantFrom('ADD', 'DEL', 'CHECK', 'GC', 'STATUS', 'VERSION'),
        async (json, c) => {
          const { exitCode, answer } = await call({ CNI_COMMAND: c }, json);
          if (exitCode === 1)
            expect(answer).toEqual({
              cniVersion: expect.any(String),
              code: expect.any(Number),
              msg: expect.any(String),
              details: expect.any(String),
            });
        },
      ),
      { numRuns: 300 },
    );
  });
});
