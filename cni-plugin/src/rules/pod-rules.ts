import { Port, ZTUNNEL_CONNMARK, ZTUNNEL_MARK } from '@weft/api';
import type { Action, HookRules, Match, Protocol, Rule } from './rule.ts';

/** What varies between pods. */
export interface PodRuleOptions {
  /** Traffic to the pod stays as it is; only what it sends is redirected. */
  readonly bypassInbound: boolean;
  /** Names are asked of ztunnel. */
  readonly dnsCapture: boolean;
  /** Names of interfaces, such as a virtual machine's, whose traffic counts as the pod's own. */
  readonly virtualInterfaces: readonly string[];
}

const DNS_PORT = 53;
/** Queries that ztunnel forwards have the five values of the application's own, and so need a zone of their own. */
const DNS_CONNTRACK_ZONE = 1;

const protocol = (name: Protocol): Match => ({ kind: 'protocol', protocol: name });
const port = (name: Protocol, side: 'source' | 'destination'): Match => ({
  kind: 'port',
  protocol: name,
  side,
  port: DNS_PORT,
});
const fromZtunnel: Match = { kind: 'mark', mark: ZTUNNEL_MARK };
const notFromZtunnel: Match = { ...fromZtunnel, not: true };
const notToLoopback: Match = { kind: 'destination', address: 'loopback', not: true };
const accept: Action = { kind: 'accept' };
const redirect = (to: number): Action => ({ kind: 'redirect', port: to });

/**
 * The redirection of one pod, for both families. What ztunnel sends carries its mark and passes; what the application
 * answers to ztunnel's connections carries the connection mark, which a routing rule brings back to ztunnel.
 * Tables are in the order of putting them in force: redirection comes last.
 */
export function podRules(options: PodRuleOptions): readonly HookRules[] {
  return [...(options.dnsCapture ? rawRules : []), ...mangleRules, ...natRules(options)];
}

/** Nothing comes in or goes out while rules are exchanged; ordinary retransmission bridges it. */
export const guardrails: readonly HookRules[] = (['INPUT', 'FORWARD', 'OUTPUT'] as const).map((hook) => ({
  table: 'filter',
  hook,
  rules: (['tcp', 'udp'] as const).map((p) => ({ matches: [protocol(p)], action: { kind: 'drop' } })),
}));

const rawRules: readonly HookRules[] = [
  {
    table: 'raw',
    hook: 'PREROUTING',
    rules: [
      {
        matches: [protocol('udp'), notFromZtunnel, port('udp', 'source')],
        action: { kind: 'conntrack-zone', zone: DNS_CONNTRACK_ZONE },
      },
    ],
  },
  {
    table: 'raw',
    hook: 'OUTPUT',
    rules: [
      {
        matches: [protocol('udp'), fromZtunnel, port('udp', 'destination')],
        action: { kind: 'conntrack-zone', zone: DNS_CONNTRACK_ZONE },
      },
    ],
  },
];

const mangleRules: readonly HookRules[] = [
  {
    table: 'mangle',
    hook: 'PREROUTING',
    rules: [{ matches: [fromZtunnel], action: { kind: 'set-connmark', mark: ZTUNNEL_CONNMARK } }],
  },
  {
    table: 'mangle',
    hook: 'OUTPUT',
    rules: [{ matches: [{ kind: 'connmark', mark: ZTUNNEL_CONNMARK }], action: { kind: 'restore-mark' } }],
  },
];

function natRules({ bypassInbound, dnsCapture, virtualInterfaces }: PodRuleOptions): readonly HookRules[] {
  const virtual = virtualInterfaces.flatMap((name): readonly Rule[] => {
    const matches: readonly Match[] = [{ kind: 'in', interface: name }, protocol('tcp')];
    return [
      { matches, action: redirect(Port.outboundCapture) },
      { matches, action: { kind: 'return' } },
    ];
  });
  const inbound: readonly Rule[] = [
    { matches: [{ kind: 'source', address: 'probe' }, protocol('tcp')], action: accept },
    {
      matches: [
        notToLoopback,
        protocol('tcp'),
        { kind: 'port', protocol: 'tcp', side: 'destination', port: Port.hbone, not: true },
        notFromZtunnel,
      ],
      action: redirect(Port.inboundCapture),
    },
  ];
  const dns: readonly Rule[] = [
    {
      matches: [
        { kind: 'out', interface: 'lo', not: true },
        protocol('udp'),
        notFromZtunnel,
        port('udp', 'destination'),
      ],
      action: redirect(Port.dns),
    },
    {
      matches: [notToLoopback, protocol('tcp'), port('tcp', 'destination'), notFromZtunnel],
      action: redirect(Port.dns),
    },
  ];
  return [
    { table: 'nat', hook: 'PREROUTING', rules: [...virtual, ...(bypassInbound ? [] : inbound)] },
    {
      table: 'nat',
      hook: 'OUTPUT',
      rules: [
        { matches: [{ kind: 'destination', address: 'probe' }, protocol('tcp')], action: accept },
        ...(dnsCapture ? dns : []),
        { matches: [protocol('tcp'), { kind: 'mark', mark: ZTUNNEL_CONNMARK }], action: accept },
        { matches: [notToLoopback, { kind: 'out', interface: 'lo' }], action: accept },
        {
          matches: [notToLoopback, protocol('tcp'), notFromZtunnel],
          action: redirect(Port.outboundCapture),
        },
      ],
    },
  ];
}

/** Every chain that a pod may have, whatever its options were: what leaving has to look for. */
export const everyPodChain: readonly HookRules[] = podRules({
  bypassInbound: false,
  dnsCapture: true,
  virtualInterfaces: [],
});
