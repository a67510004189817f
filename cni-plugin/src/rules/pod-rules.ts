import {
  HOST_PROBE_SNAT_IPV4,
  HOST_PROBE_SNAT_IPV6,
  MARK_MASK,
  Port,
  ZTUNNEL_CONNMARK,
  ZTUNNEL_MARK,
} from '@weft/api';

/** What varies between pods. */
export interface PodRuleOptions {
  /** Traffic to the pod stays as it is; only what it sends is redirected. */
  readonly bypassInbound: boolean;
  /** Names of interfaces, such as a virtual machine's, whose traffic counts as the pod's own. */
  readonly virtualInterfaces: readonly string[];
}

export type IpVersion = 4 | 6;

/** One of our chains: the built-in chain that jumps to it, and its rules in `iptables-save` form without `-A chain`. */
export interface ChainRules {
  readonly table: 'mangle' | 'nat';
  readonly hook: 'PREROUTING' | 'OUTPUT';
  readonly chain: 'ISTIO_PRERT' | 'ISTIO_OUTPUT';
  readonly rules: readonly string[];
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const ztunnelMark = `${hex(ZTUNNEL_MARK)}/${hex(MARK_MASK)}`;
const connmark = `${hex(ZTUNNEL_CONNMARK)}/${hex(MARK_MASK)}`;

/**
 * The redirection of one pod, written as `iptables-save` prints it, so that wanted and actual can be compared as text.
 * What ztunnel sends carries its mark and passes; what the application answers to ztunnel's connections carries
 * the connection mark, which a routing rule brings back to ztunnel.
 */
export function podRules(version: IpVersion, options: PodRuleOptions): readonly ChainRules[] {
  const loopback = version === 4 ? '127.0.0.1/32' : '::1/128';
  const probeSource = version === 4 ? `${HOST_PROBE_SNAT_IPV4}/32` : `${HOST_PROBE_SNAT_IPV6}/128`;
  const inbound = options.virtualInterfaces.flatMap((name) => [
    `-i ${name} -p tcp -j REDIRECT --to-ports ${Port.outboundCapture}`,
    `-i ${name} -p tcp -j RETURN`,
  ]);
  if (!options.bypassInbound) {
    inbound.push(
      `-s ${probeSource} -p tcp -m tcp -j ACCEPT`,
      `! -d ${loopback} -p tcp -m tcp ! --dport ${Port.hbone} -m mark ! --mark ${ztunnelMark} -j REDIRECT --to-ports ${Port.inboundCapture}`,
    );
  }
  return [
    {
      table: 'mangle',
      hook: 'PREROUTING',
      chain: 'ISTIO_PRERT',
      rules: [`-m mark --mark ${ztunnelMark} -j CONNMARK --set-xmark ${connmark}`],
    },
    {
      table: 'mangle',
      hook: 'OUTPUT',
      chain: 'ISTIO_OUTPUT',
      rules: [
        `-m connmark --mark ${connmark} -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff`,
      ],
    },
    { table: 'nat', hook: 'PREROUTING', chain: 'ISTIO_PRERT', rules: inbound },
    {
      table: 'nat',
      hook: 'OUTPUT',
      chain: 'ISTIO_OUTPUT',
      rules: [
        `-d ${probeSource} -p tcp -m tcp -j ACCEPT`,
        `-p tcp -m mark --mark ${connmark} -j ACCEPT`,
        `! -d ${loopback} -o lo -j ACCEPT`,
        `! -d ${loopback} -p tcp -m mark ! --mark ${ztunnelMark} -j REDIRECT --to-ports ${Port.outboundCapture}`,
      ],
    },
  ];
}
