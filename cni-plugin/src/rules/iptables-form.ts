import { MARK_MASK } from '@weft/api';
import {
  addressOf,
  type Action,
  type Hook,
  type HookRules,
  type IpVersion,
  type Match,
  type ProbeSources,
} from './rule.ts';

/** A chain of ours, with its rules as `iptables-save` prints them, without `-A chain`. */
export interface ChainRules {
  readonly table: string;
  readonly hook: Hook;
  readonly chain: string;
  readonly rules: readonly string[];
}

const chainNames: Readonly<Record<Hook, string>> = {
  PREROUTING: 'ISTIO_PRERT',
  INPUT: 'ISTIO_INPUT',
  FORWARD: 'ISTIO_FORWARD',
  OUTPUT: 'ISTIO_OUTPUT',
};

/** Writes rules as `iptables-save` does, so that wanted and actual can be compared as text. */
export function iptablesChains(
  hooks: readonly HookRules[],
  version: IpVersion,
  probeSources: ProbeSources,
): readonly ChainRules[] {
  const address = (name: 'loopback' | 'probe'): string =>
    `${addressOf(name, version, probeSources)}/${version === 4 ? 32 : 128}`;
  return hooks.map(({ table, hook, rules }) => ({
    table,
    hook,
    chain: chainNames[hook],
    rules: rules.map(({ matches, action }) =>
      [...matches.map((m) => matchText(m, address)), actionText(action)].join(' '),
    ),
  }));
}

const hex = (value: number): string => `0x${value.toString(16)}`;
const masked = (mark: number): string => `${hex(mark)}/${hex(MARK_MASK)}`;

function matchText(match: Match, address: (name: 'loopback' | 'probe') => string): string {
  const not = 'not' in match && match.not === true ? '! ' : '';
  switch (match.kind) {
    case 'source':
      return `-s ${address(match.address)}`;
    case 'destination':
      return `${not}-d ${address(match.address)}`;
    case 'in':
      return `-i ${match.interface}`;
    case 'out':
      return `${not}-o ${match.interface}`;
    case 'protocol':
      return `-p ${match.protocol}`;
    case 'port':
      return `-m ${match.protocol} ${not}--${match.side === 'source' ? 'sport' : 'dport'} ${match.port}`;
    case 'mark':
      return `-m mark ${not}--mark ${masked(match.mark)}`;
    case 'connmark':
      return `-m connmark --mark ${masked(match.mark)}`;
  }
}

function actionText(action: Action): string {
  switch (action.kind) {
    case 'accept':
      return '-j ACCEPT';
    case 'drop':
      return '-j DROP';
    case 'return':
      return '-j RETURN';
    case 'redirect':
      return `-j REDIRECT --to-ports ${action.port}`;
    case 'set-connmark':
      return `-j CONNMARK --set-xmark ${masked(action.mark)}`;
    case 'restore-mark':
      return '-j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff';
    case 'conntrack-zone':
      return `-j CT --zone ${action.zone}`;
  }
}
