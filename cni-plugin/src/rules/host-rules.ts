import { isIPv4 } from 'node:net';
import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6 } from '@weft/api';
import type { CommandRunner } from './command.ts';
import { program, type IptablesVariant } from './iptables.ts';
import type { IpVersion } from './pod-rules.ts';

const CHAIN = 'ISTIO_POSTRT';
const setName = (version: IpVersion): string => `istio-inpod-probes-v${version}`;

/**
 * The node's side of kubelet probes: what a process of the node sends to an enrolled pod gets a source address that
 * the rules in the pod let pass. Forwarded traffic has no socket here, so it is not touched.
 */
export class HostProbeRules {
  private readonly runner: CommandRunner;
  private readonly variant: IptablesVariant;
  private readonly versions: readonly IpVersion[];

  constructor(runner: CommandRunner, variant: IptablesVariant, versions: readonly IpVersion[]) {
    this.runner = runner;
    this.variant = variant;
    this.versions = versions;
  }

  /**
   * Makes the sets and the rule that uses them. Those of an earlier agent stay in force: without them the probes of
   * every redirected pod would come from a stranger until the pod is enrolled again.
   */
  install(): void {
    for (const version of this.versions) {
      const family = version === 4 ? 'inet' : 'inet6';
      this.runner.run('ipset', [
        'create',
        setName(version),
        'hash:ip',
        'family',
        family,
        'comment',
        '-exist',
      ]);
      const iptables = program(this.variant, version);
      const snat = version === 4 ? HOST_PROBE_SNAT_IPV4 : HOST_PROBE_SNAT_IPV6;
      const rule = `${CHAIN} -m owner --socket-exists -p tcp -m set --match-set ${setName(version)} dst -j SNAT --to-source ${snat}`;
      const isThere = (of: string): boolean =>
        this.runner.tryRun(iptables, ['-t', 'nat', '-C', ...of.split(' ')]).status === 0;
      if (isThere(`POSTROUTING -j ${CHAIN}`) && isThere(rule)) continue;
      this.removeChain(iptables);
      const input = `*nat\n:${CHAIN} - [0:0]\n-I POSTROUTING 1 -j ${CHAIN}\n-A ${rule}\nCOMMIT\n`;
      this.runner.run(program(this.variant, version, '-restore'), ['--noflush'], input);
    }
  }

  remove(): void {
    for (const version of this.versions) {
      this.removeChain(program(this.variant, version));
      this.runner.tryRun('ipset', ['destroy', setName(version)]);
    }
  }

  addPod(uid: string, addresses: readonly string[]): void {
    for (const address of addresses) {
      const version = this.versionOf(address);
      if (version === undefined) continue;
      // A recycled address still listed for a former pod now belongs to this one.
      this.runner.tryRun('ipset', ['del', setName(version), address]);
      this.runner.run('ipset', ['add', setName(version), address, 'comment', uid, '-exist']);
    }
  }

  /** Takes out what an earlier agent left of pods that are not wanted any more. */
  retain(addresses: readonly string[]): void {
    for (const version of this.versions) {
      for (const { address } of this.members(version)) {
        if (!addresses.includes(address))
          this.runner.run('ipset', ['del', setName(version), address, '-exist']);
      }
    }
  }

  /** Entries that another pod has taken over meanwhile stay. */
  removePod(uid: string, addresses: readonly string[]): void {
    for (const address of addresses) {
      const version = this.versionOf(address);
      if (version === undefined) continue;
      if (this.members(version).some((m) => m.address === address && m.uid === uid)) {
        this.runner.run('ipset', ['del', setName(version), address, '-exist']);
      }
    }
  }

  private members(version: IpVersion): readonly { address: string; uid: string }[] {
    const { stdout } = this.runner.tryRun('ipset', ['list', setName(version)]);
    return [...stdout.matchAll(/^(\S+) comment "(.*)"$/gm)].map(([, address = '', uid = '']) => ({
      address,
      uid,
    }));
  }

  private versionOf(address: string): IpVersion | undefined {
    const version = isIPv4(address) ? 4 : 6;
    return this.versions.includes(version) ? version : undefined;
  }

  private removeChain(iptables: string): void {
    while (this.runner.tryRun(iptables, ['-t', 'nat', '-D', 'POSTROUTING', '-j', CHAIN]).status === 0);
    this.runner.tryRun(iptables, ['-t', 'nat', '-F', CHAIN]);
    this.runner.tryRun(iptables, ['-t', 'nat', '-X', CHAIN]);
  }
}
