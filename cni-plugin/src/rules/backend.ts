import { existsSync, readFileSync } from 'node:fs';
import { WeftError } from '@weft/telemetry';
import type { CommandRunner } from './command.ts';
import { PROBE_SETS } from './host-rules.ts';
import { IptablesPodRules, program, type IptablesVariant } from './iptables.ts';
import { NftPodRules } from './nftables.ts';
import type { PodNetfilter } from './pod-redirection.ts';
import type { RuleSettings } from './rule.ts';

export type Backend =
  | { readonly kind: 'nftables' }
  | { readonly kind: 'iptables'; readonly variant: IptablesVariant };

/** What of a node decides about the back end. */
export interface BackendFacts {
  /** Whether `nft` works there. */
  readonly nft: boolean;
  /** The iptables variants that work there, with the number of rules they hold, of whomever. */
  readonly iptables: readonly { readonly variant: IptablesVariant; readonly rules: number }[];
  /** ipsets of an agent that used iptables; they live until the node restarts. */
  readonly hasProbeIpsets: boolean;
}

export interface BackendWishes {
  readonly nativeNftables: boolean;
  readonly forcedIptables: IptablesVariant | undefined;
}

export interface BackendChoice {
  readonly backend: Backend;
  readonly others: readonly Backend[];
  /** Why a wish was not followed. */
  readonly warning?: string;
}

/**
 * Native nftables only where it is asked for or where there is no iptables; else the variant that holds rules already,
 * so that ours are seen beside theirs, and the newer one if none does. Throws WEFT1709 where nothing works.
 */
export function chooseBackend(wishes: BackendWishes, facts: BackendFacts): BackendChoice {
  const working: readonly Backend[] = [
    ...(facts.nft ? [{ kind: 'nftables' } as const] : []),
    ...facts.iptables.map(({ variant }) => ({ kind: 'iptables', variant }) as const),
  ];
  const choice = (backend: Backend, warning?: string): BackendChoice => ({
    backend,
    others: working.filter((b) => !sameBackend(b, backend)),
    ...(warning === undefined ? {} : { warning }),
  });
  const { nativeNftables, forcedIptables } = wishes;
  if (forcedIptables !== undefined) {
    return choice(
      { kind: 'iptables', variant: forcedIptables },
      nativeNftables ? 'FORCE_IPTABLES_BINARY wins over NATIVE_NFTABLES' : undefined,
    );
  }
  const fallback = [...facts.iptables].sort((a, b) => b.rules - a.rules || preference(a) - preference(b))[0];
  if (fallback === undefined) {
    if (facts.nft) return choice({ kind: 'nftables' });
    throw new WeftError('WEFT1709', 'neither nft nor iptables-nft nor iptables-legacy works here');
  }
  const iptables = { kind: 'iptables', variant: fallback.variant } as const;
  if (!nativeNftables) return choice(iptables);
  if (!facts.nft) return choice(iptables, 'NATIVE_NFTABLES is set, but nft does not work here');
  if (facts.hasProbeIpsets)
    return choice(
      iptables,
      'NATIVE_NFTABLES is set, but rules by iptables are in force until the node restarts',
    );
  return choice({ kind: 'nftables' });
}

function preference({ variant }: { readonly variant: IptablesVariant }): number {
  return variant === 'iptables-nft' ? 0 : 1;
}

function sameBackend(a: Backend, b: Backend): boolean {
  return a.kind === b.kind && (a.kind === 'nftables' || b.kind === 'nftables' || a.variant === b.variant);
}

/** Looks at the node through the runner of its network namespace. */
export function readBackendFacts(host: CommandRunner): BackendFacts {
  const variants = ['iptables-nft', 'iptables-legacy'] as const;
  return {
    nft: worksAt(host, 'nft', ['list', 'tables']) !== undefined,
    iptables: variants.flatMap((variant) => {
      const saved = worksAt(host, program(variant, 4, '-save'), []);
      if (saved === undefined) return [];
      return [{ variant, rules: saved.split('\n').filter((line) => line.startsWith('-A ')).length }];
    }),
    hasProbeIpsets: (worksAt(host, 'ipset', ['list', '-n']) ?? '')
      .split('\n')
      .some((n) => n === PROBE_SETS[4]),
  };
}

function worksAt(host: CommandRunner, name: string, args: readonly string[]): string | undefined {
  try {
    const { status, stdout } = host.tryRun(name, args);
    return status === 0 ? stdout : undefined;
  } catch {
    return undefined; // not installed
  }
}

export function netfilterOf(backend: Backend, runner: CommandRunner, settings: RuleSettings): PodNetfilter {
  return backend.kind === 'nftables'
    ? new NftPodRules(runner, settings)
    : new IptablesPodRules(runner, backend.variant, settings);
}

export function ipv6Available(): boolean {
  const file = '/proc/sys/net/ipv6/conf/all/disable_ipv6';
  return existsSync(file) && readFileSync(file, 'utf8').trim() !== '1';
}
