/** Rules as values, the same for every back end; `iptables-form.ts` and `nft-form.ts` write them down. */

export type IpVersion = 4 | 6;

/** One condition. A rule's conditions are written in the order in which it lists them. */
export type Match =
  | { readonly kind: 'source'; readonly address: AddressName }
  | { readonly kind: 'destination'; readonly address: AddressName; readonly not?: true }
  | { readonly kind: 'in'; readonly interface: string }
  | { readonly kind: 'out'; readonly interface: string; readonly not?: true }
  | { readonly kind: 'protocol'; readonly protocol: Protocol }
  /** Follows the condition on the protocol. */
  | {
      readonly kind: 'port';
      readonly protocol: Protocol;
      readonly side: 'source' | 'destination';
      readonly port: number;
      readonly not?: true;
    }
  /** Mark of the packet, under MARK_MASK. */
  | { readonly kind: 'mark'; readonly mark: number; readonly not?: true }
  /** Mark of the connection, under MARK_MASK. */
  | { readonly kind: 'connmark'; readonly mark: number };

export type Protocol = 'tcp' | 'udp';

/** What stands for an address of either family. */
export type AddressName = 'loopback' | 'probe';

export type Action =
  | { readonly kind: 'accept' }
  | { readonly kind: 'drop' }
  | { readonly kind: 'return' }
  | { readonly kind: 'redirect'; readonly port: number }
  /** Sets the bits of MARK_MASK in the connection's mark and leaves the others. */
  | { readonly kind: 'set-connmark'; readonly mark: number }
  /** Copies the connection's mark to the packet. */
  | { readonly kind: 'restore-mark' }
  | { readonly kind: 'conntrack-zone'; readonly zone: number };

export interface Rule {
  readonly matches: readonly Match[];
  readonly action: Action;
}

export type Table = 'raw' | 'mangle' | 'nat' | 'filter';
export type Hook = 'PREROUTING' | 'INPUT' | 'FORWARD' | 'OUTPUT';

/** The rules of one hook of one table. They are in a chain of ours, to which the hook jumps first of all. */
export interface HookRules {
  readonly table: Table;
  readonly hook: Hook;
  readonly rules: readonly Rule[];
}

/** The source address of kubelet probes, as pods see it. */
export interface ProbeSources {
  readonly 4: string;
  readonly 6: string;
}

/** How rules are written on one node. */
export interface RuleSettings {
  readonly versions: readonly IpVersion[];
  readonly probeSources: ProbeSources;
}

export function addressOf(name: AddressName, version: IpVersion, probeSources: ProbeSources): string {
  if (name === 'probe') return probeSources[version];
  return version === 4 ? '127.0.0.1' : '::1';
}
