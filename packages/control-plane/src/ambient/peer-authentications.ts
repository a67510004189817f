import { DerivedPolicy } from '@weft/api';
import { istio } from '@weft/api/workload';
import type { Labels } from '@weft/collections';
import {
  type MtlsMode,
  type PeerAuthenticationSpec,
  type PolicyObject,
  selectorLabels,
} from '../sources/policy-objects.ts';
import { parsePort } from './policy-matches.ts';

const { Action, Scope } = istio.security;
type Clause = istio.security.Clause.$Shape;
type PeerAuthentication = PolicyObject<PeerAuthenticationSpec>;

/** The PeerAuthentications that bear on a workload, most specific first; each already the oldest of its level. */
export interface MtlsLevels {
  readonly workload: PeerAuthentication | undefined;
  readonly namespace: PeerAuthentication | undefined;
  readonly root: PeerAuthentication | undefined;
}

/** On each level the oldest counts; of the same age, the one whose name sorts first. */
export function oldest(candidates: readonly PeerAuthentication[]): PeerAuthentication | undefined {
  return [...candidates].sort((a, b) => compare(a.createdAt, b.createdAt) || compare(a.name, b.name))[0];
}

/** Undefined for one that covers its whole namespace, or the mesh when in the root namespace. */
export function peerAuthenticationSelector({ spec }: PeerAuthentication): Labels | undefined {
  const labels = selectorLabels(spec.selector);
  return Object.keys(labels).length === 0 ? undefined : labels;
}

/** DISABLE has no meaning of its own in ambient: plaintext is accepted, and mTLS as well. */
type EffectiveMode = 'STRICT' | 'PERMISSIVE';

/** Each level that says nothing, or UNSET, leaves the answer to the next; the last resort is PERMISSIVE. */
export function effectiveMode({ workload, namespace, root }: MtlsLevels): EffectiveMode {
  for (const level of [workload, namespace, root]) {
    const mode = level?.spec.mtls?.mode ?? 'UNSET';
    if (mode !== 'UNSET') return normalize(mode);
  }
  return 'PERMISSIVE';
}

/** `namespace/name` of the derived policies that a workload under these levels has to list. */
export function derivedPolicyNames(levels: MtlsLevels, rootNamespace: string): string[] {
  const { workload } = levels;
  const { strict, exempt } = exceptionalPorts(levels);
  const mode = effectiveMode(levels);
  const names: string[] = [];
  // Where ports are exempt, the converted policy says it all; the static one would refuse the exempt ports, too.
  if (mode === 'STRICT' && exempt.length === 0) names.push(`${rootNamespace}/${DerivedPolicy.staticStrict}`);
  if (workload !== undefined && (strict.length > 0 || exempt.length > 0)) {
    names.push(`${workload.namespace}/${convertedName(workload.name)}`);
  }
  return names;
}

/** Refuses whoever shows no identity. Present when there is any PeerAuthentication; workloads under STRICT list it. */
export function staticStrictPolicy(rootNamespace: string): istio.security.Authorization.$Shape {
  return {
    name: DerivedPolicy.staticStrict,
    namespace: rootNamespace,
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.DENY,
    rules: [{ clauses: [withoutIdentity] }],
  };
}

/** The port exceptions of a PeerAuthentication with a selector, as a policy; undefined when it makes none. */
export function convertPeerAuthentication(
  levels: MtlsLevels,
): istio.security.Authorization.$Shape | undefined {
  const { workload } = levels;
  const { strict, exempt } = exceptionalPorts(levels);
  if (workload === undefined || (strict.length === 0 && exempt.length === 0)) return undefined;
  const rules =
    exempt.length > 0
      ? // One rule, whose clauses all have to hold: no identity, and none of the exempt ports.
        [{ clauses: [withoutIdentity, ...exempt.map((port) => clause({ notDestinationPorts: [port] }))] }]
      : strict.map((port) => ({ clauses: [withoutIdentity, clause({ destinationPorts: [port] })] }));
  return {
    name: convertedName(workload.name),
    namespace: workload.namespace,
    scope: Scope.WORKLOAD_SELECTOR,
    action: Action.DENY,
    rules,
  };
}

const withoutIdentity: Clause = { matches: [{ notPrincipals: [{ presence: {} }] }] };

function clause(match: istio.security.Match.$Shape): Clause {
  return { matches: [match] };
}

function convertedName(name: string): string {
  return `${DerivedPolicy.peerAuthenticationPrefix}${name}`;
}

/** Ports whose mode differs from that of the rest of the workload. Only one of the lists has members. */
function exceptionalPorts(levels: MtlsLevels): { readonly strict: number[]; readonly exempt: number[] } {
  const mode = effectiveMode(levels);
  const strict: number[] = [];
  const exempt: number[] = [];
  for (const [text, { mode: portMode = 'UNSET' }] of Object.entries(
    levels.workload?.spec.portLevelMtls ?? {},
  )) {
    const port = parsePort(text);
    if (port === undefined || portMode === 'UNSET' || normalize(portMode) === mode) continue;
    (mode === 'STRICT' ? exempt : strict).push(port);
  }
  const ascending = (a: number, b: number): number => a - b;
  return { strict: strict.sort(ascending), exempt: exempt.sort(ascending) };
}

function normalize(mode: Exclude<MtlsMode, 'UNSET'>): EffectiveMode {
  return mode === 'STRICT' ? 'STRICT' : 'PERMISSIVE';
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
