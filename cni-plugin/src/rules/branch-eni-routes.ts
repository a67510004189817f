import type { CommandRunner } from './command.ts';
import { versionOf } from './host-rules.ts';

/** One before the preference of the rules that AWS's CNI has for such pods would be too late: theirs come first. */
const TO_POD_PREFERENCE = '512';
const FROM_POD_PREFERENCE = '511';

/** Where the node's routes lead to a pod with a branch interface: a table and a virtual interface of its own. */
export interface BranchRoute {
  readonly table: string;
  readonly interface: string;
}

/**
 * AWS gives a pod with security groups a branch network interface, and routes it by a table that only that interface's
 * traffic looks at. A kubelet's probe then leaves by the wrong interface. Two rules per pod bring it in and its answer
 * back. They work only without early demultiplexing, which would pass the answer by.
 */
export class BranchEniRoutes {
  private readonly runner: CommandRunner;

  constructor(runner: CommandRunner) {
    this.runner = runner;
  }

  static isPossible(runner: CommandRunner): boolean {
    return runner.tryRun('cat', ['/proc/sys/net/ipv4/tcp_early_demux']).stdout.trim() === '0';
  }

  add(addresses: readonly string[]): void {
    this.remove(addresses);
    for (const address of addresses) {
      const family = `-${versionOf(address)}`;
      const route = this.routeOf(address);
      if (route === undefined) continue;
      for (const rule of branchRules(address, route)) this.runner.run('ip', [family, 'rule', 'add', ...rule]);
    }
  }

  remove(addresses: readonly string[]): void {
    for (const address of addresses) {
      const family = `-${versionOf(address)}`;
      const listed = this.runner.tryRun('ip', [family, 'rule', 'show', 'pref', TO_POD_PREFERENCE]).stdout;
      const table = new RegExp(`to ${address.replaceAll('.', '\\.')} lookup (\\S+)`).exec(listed)?.[1];
      if (table === undefined) continue;
      const route = this.routeOf(address);
      const rules = route === undefined ? [toPod(address, table)] : branchRules(address, { ...route, table });
      // The interface of a pod that is gone went before its rule.
      for (const rule of rules) this.runner.tryRun('ip', [family, 'rule', 'del', ...rule]);
    }
  }

  private routeOf(address: string): BranchRoute | undefined {
    const family = `-${versionOf(address)}`;
    return branchRoute(this.runner.tryRun('ip', [family, 'route', 'show', 'table', 'all', address]).stdout);
  }
}

/** Finds it in `ip route show table all ADDRESS`: the route that is in neither of the tables every node has. */
export function branchRoute(listed: string): BranchRoute | undefined {
  for (const line of listed.split('\n')) {
    const found = /\bdev (\S+) .*\btable (\S+)/.exec(`${line} `);
    if (found?.[1] === undefined || found[2] === undefined || found[2] === 'local') continue;
    return { interface: found[1], table: found[2] };
  }
  return undefined;
}

/** Arguments of `ip rule add` and `ip rule del`. */
export function branchRules(address: string, route: BranchRoute): readonly (readonly string[])[] {
  return [
    toPod(address, route.table),
    ['iif', route.interface, 'lookup', 'local', 'pref', FROM_POD_PREFERENCE],
  ];
}

function toPod(address: string, table: string): readonly string[] {
  return ['to', address, 'lookup', table, 'pref', TO_POD_PREFERENCE];
}
