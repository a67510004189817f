import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Sandbox, skipIf } from '@weft/linux/testing';

const reason =
  Sandbox.unavailable ??
  (spawnSync('setpriv', ['--version']).status === 0 ? undefined : 'setpriv (util-linux) is not installed');

const chart = readFileSync(new URL('../../helm/cni/templates/daemonset.yaml', import.meta.url), 'utf8');
const granted = (/add: \[([A-Z_, ]+)\]/.exec(chart)?.[1] ?? '').split(', ').sort();

/** The steps of the agent that a capability is for. */
const needs: readonly (readonly [capability: string, step: string, operand: string, failure: RegExp])[] = [
  ['DAC_OVERRIDE', 'install into a folder', 'folder', /EACCES/],
  ['NET_ADMIN', 'write rules', 'nftables', /WEFT1705/],
  ['NET_ADMIN', 'write rules', 'iptables-nft', /WEFT1705/],
  ['NET_RAW', 'write rules', 'iptables-legacy', /WEFT1705/],
  ['SYS_ADMIN', 'enter a namespace', 'pod', /EPERM/],
  ['SYS_PTRACE', 'open a namespace in /proc', 'pod', /EACCES/],
];

skipIf(reason, describe)('the capabilities of the node agent', () => {
  let sandbox: Sandbox;
  beforeAll(() => {
    sandbox = Sandbox.start(new URL('./testing/privileges.scenario.js', import.meta.url));
  });
  afterAll(() => sandbox.stop());

  it('in the chart are those that a step needs, and no other', () => {
    expect(granted).toEqual([...new Set(needs.map(([capability]) => capability))].sort());
  });

  it.each(needs)('without %s it can not %s (%s)', async (capability, step, operand, failure) => {
    const others = granted.filter((name) => name !== capability);
    expect(await sandbox.call('runStep', step, operand, others)).toMatch(failure);
  });

  const isLegacy = (operand: string): boolean => operand === 'iptables-legacy';
  // Its tools read /proc/net/ip_tables_names, which the kernel shows to the machine's own root alone.
  (process.getuid?.() === 0 ? it : it.skip)('are enough to write rules (iptables-legacy)', async () => {
    expect(await sandbox.call('runStep', 'write rules', 'iptables-legacy', granted)).toBe('ok');
  });

  it.each([
    ...needs.flatMap(([, step, operand]) => (isLegacy(operand) ? [] : [[step, operand] as const])),
    ['write rules in a namespace', 'pod'],
    ['write rules in a namespace', 'user-namespaced pod'],
  ])('are enough to %s (%s)', async (step, operand) => {
    expect(await sandbox.call('runStep', step, operand, granted)).toBe('ok');
  });
});
