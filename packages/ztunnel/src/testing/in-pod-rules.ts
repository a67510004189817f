import { execFileSync } from 'node:child_process';
import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6 } from '@weft/api';

const run = (...command: readonly string[]): string =>
  execFileSync(command[0] ?? '', command.slice(1), { stdio: 'pipe', encoding: 'utf8' });

/** The in-pod rules of the reference, without DNS capture. */
export function applyInPodRules(): void {
  const ztunnel = '0x539/0xfff';
  const replies = '0x111/0xfff';
  const rules = `*mangle
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_PRERT -m mark --mark ${ztunnel} -j CONNMARK --set-xmark ${replies}
-A ISTIO_OUTPUT -m connmark --mark ${replies} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff
COMMIT
*nat
:ISTIO_PRERT - [0:0]
:ISTIO_OUTPUT - [0:0]
-A PREROUTING -j ISTIO_PRERT
-A OUTPUT -j ISTIO_OUTPUT
-A ISTIO_PRERT -s ${HOST_PROBE_SNAT_IPV4} -p tcp -j ACCEPT
-A ISTIO_PRERT ! -d 127.0.0.1/32 -p tcp ! --dport 15008 -m mark ! --mark ${ztunnel} -j REDIRECT --to-ports 15006
-A ISTIO_OUTPUT -d ${HOST_PROBE_SNAT_IPV4} -p tcp -j ACCEPT
-A ISTIO_OUTPUT -p tcp -m mark --mark ${replies} -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -o lo -j ACCEPT
-A ISTIO_OUTPUT ! -d 127.0.0.1/32 -p tcp -m mark ! --mark ${ztunnel} -j REDIRECT --to-ports 15001
COMMIT
`;
  const input = { stdio: 'pipe' } as const;
  execFileSync('iptables-restore', ['--noflush'], { ...input, input: rules });
  const rules6 = rules
    .replaceAll('127.0.0.1/32', '::1/128')
    .replaceAll(HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6);
  execFileSync('ip6tables-restore', ['--noflush'], { ...input, input: rules6 });
  run('ip', '-6', 'route', 'add', 'local', '::/0', 'dev', 'lo', 'table', '100');
  run('ip', '-6', 'rule', 'add', 'fwmark', replies, 'lookup', '100', 'pref', '32764');
  run('ip', 'route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100');
  run('ip', 'rule', 'add', 'fwmark', replies, 'lookup', '100', 'pref', '32764');
}
