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

  /** Makes the sets, emptied, and the rule that uses them. */
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
      this.runner.run('ipset', ['flush', setName(version)]);
      const iptables = program(this.variant, version);
      this.removeChain(iptables);
      const snat = version === 4 ? HOST_PROBE_SNAT_IPV4 : HOST_PROBE_SNAT_IPV6;
      const rule = `-A ${CHAIN} -m owner --socket-exists -p tcp -m set --match-set ${setName(version)} dst -j SNAT --to-source ${snat}`;
      const input = `*nat\n:${CHAIN} - [0:0]\n-I POSTROUTING 1 -j ${CHAIN}\n${rule}\nCOMMIT\n`;
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

  /** Entries that another pod has taken over meanwhile stay. */
  removePod(uid: string, addresses: readonly string[]): void {
    for (const address of addresses) {
      const version = this.versionOf(address);
      if (version === undefined) continue;
      const { stdout } = this.runner.tryRun('ipset', ['list', setName(version)]);
      if (stdout.split('\n').some((line) => line.startsWith(`${address} `) && line.includes(`"${uid}"`))) {
        this.runner.run('ipset', ['del', setName(version), address, '-exist']);
      }
    }
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
