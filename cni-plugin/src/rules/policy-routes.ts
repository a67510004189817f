import { INPOD_ROUTE_TABLE, INPOD_RULE_PREFERENCE, MARK_MASK, ZTUNNEL_CONNMARK } from '@weft/api';
import type { CommandRunner } from './command.ts';
import type { IpVersion } from './rule.ts';

const fwmark = `0x${ZTUNNEL_CONNMARK.toString(16)}/0x${MARK_MASK.toString(16)}`;
const table = String(INPOD_ROUTE_TABLE);
const preference = String(INPOD_RULE_PREFERENCE);

/** Replies with the connection mark are delivered in the pod, to ztunnel's socket, whatever their destination. */
export function addRoutes(runner: CommandRunner, version: IpVersion): void {
  if (isSwitchedOff(runner, version)) return;
  const family = `-${version}`;
  const everything = version === 4 ? '0.0.0.0/0' : '::/0';
  runner.run('ip', [family, 'route', 'replace', 'local', everything, 'dev', 'lo', 'table', table]);
  if (!hasRule(runner, version))
    runner.run('ip', [family, 'rule', 'add', 'pref', preference, 'fwmark', fwmark, 'lookup', table]);
}

/** What is otherwise than it should be, in words for the user. */
export function routeDifferences(runner: CommandRunner, version: IpVersion): readonly string[] {
  if (isSwitchedOff(runner, version)) return [];
  // The table does not exist before its first route.
  const { stdout } = runner.tryRun('ip', [`-${version}`, 'route', 'show', 'table', table]);
  return [
    ...(/^local default dev lo\b/m.test(stdout)
      ? []
      : [`IPv${version} routing table ${table} lacks "local default"`]),
    ...(hasRule(runner, version)
      ? []
      : [`IPv${version} routing rule ${preference} for ${fwmark} is missing`]),
  ];
}

/** Removing what isn't there is how it should be. */
export function removeRoutes(runner: CommandRunner, version: IpVersion): void {
  runner.tryRun('ip', [`-${version}`, 'rule', 'del', 'pref', preference]);
  runner.tryRun('ip', [`-${version}`, 'route', 'flush', 'table', table]);
}

function hasRule(runner: CommandRunner, version: IpVersion): boolean {
  return runner.run('ip', [`-${version}`, 'rule', 'show', 'pref', preference]).includes(fwmark);
}

/** Some runtimes switch IPv6 off in pods without such an address; then there is no route to be had, nor traffic. */
function isSwitchedOff(runner: CommandRunner, version: IpVersion): boolean {
  if (version === 4) return false;
  return runner.tryRun('cat', ['/proc/sys/net/ipv6/conf/lo/disable_ipv6']).stdout.trim() !== '0';
}
