import { Port } from '@weft/api';
import { matchesLabelSelector, type LabelSelector, type Pod, type UntypedObject } from '@weft/kubernetes';
import type { CheckResult } from './checks.ts';

const DNS_PORT = 53;

interface PolicyPort {
  readonly protocol?: string;
  readonly port?: number | string;
  readonly endPort?: number;
}

interface PolicyPeer {
  readonly ipBlock?: unknown;
}

interface PolicyRule {
  readonly from?: readonly PolicyPeer[];
  readonly to?: readonly PolicyPeer[];
  readonly ports?: readonly PolicyPort[];
}

interface PolicySpec {
  readonly podSelector?: LabelSelector;
  readonly policyTypes?: readonly string[];
  readonly ingress?: readonly PolicyRule[];
  readonly egress?: readonly PolicyRule[];
}

/** A rule that lets a connection through to the application and not through the tunnel that carries it in the mesh. */
export interface MissingHbonePort {
  /** `namespace/name` of the policy. */
  readonly policy: string;
  /** JSON path of the list that lacks the port. */
  readonly path: string;
  /** Adds it. */
  readonly command: string;
}

/** Pods of the mesh whose peers a NetworkPolicy would let in on the application's port but not on 15008. */
export function checkNetworkPolicies(
  meshPods: readonly Pod[],
  policies: readonly UntypedObject[],
): CheckResult | undefined {
  if (policies.length === 0) return undefined;
  const missing = missingHbonePorts(meshPods, policies);
  const name = `NetworkPolicies let HBONE through (port ${Port.hbone})`;
  if (missing.length === 0) return { name, status: 'ok' };
  return {
    name,
    status: 'failed',
    message: missing.map(({ policy, path }) => `${policy}: ${path} lacks ${Port.hbone}/TCP`).join('; '),
    next: missing.map(({ command }) => command).join('\n      '),
  };
}

export function missingHbonePorts(
  meshPods: readonly Pod[],
  policies: readonly UntypedObject[],
): readonly MissingHbonePort[] {
  return policies.flatMap((policy) => {
    const spec = specOf(policy);
    const { namespace = '', name = '' } = policy.metadata;
    const selected = meshPods.filter((pod) => selects(policy, pod));
    if (selected.length === 0) return [];
    return (['ingress', 'egress'] as const).flatMap((direction) => {
      if (!isolates(spec, direction)) return [];
      return (spec[direction] ?? []).flatMap((rule, index): readonly MissingHbonePort[] => {
        if (!needsHbone(rule, direction)) return [];
        const covered = selected.every((pod) =>
          policies
            .filter((other) => selects(other, pod) && isolates(specOf(other), direction))
            .some((other) => (specOf(other)[direction] ?? []).some((r) => covers(r, rule, direction))),
        );
        if (covered) return [];
        const path = `spec.${direction}[${index}].ports`;
        const patch = `[{"op":"add","path":"/spec/${direction}/${index}/ports/-","value":{"protocol":"TCP","port":${Port.hbone}}}]`;
        const command = `kubectl patch networkpolicy ${name} -n ${namespace} --type=json -p '${patch}'`;
        return [{ policy: `${namespace}/${name}`, path, command }];
      });
    });
  });
}

function specOf(policy: UntypedObject): PolicySpec {
  const { spec } = policy;
  return typeof spec === 'object' && spec !== null ? spec : {}; // the API server checks its form
}

function selects(policy: UntypedObject, pod: Pod): boolean {
  return (
    policy.metadata.namespace === pod.metadata.namespace &&
    matchesLabelSelector(specOf(policy).podSelector ?? {}, pod.metadata.labels)
  );
}

/** Without types, a policy is about ingress, and about egress if it has such rules. */
function isolates(spec: PolicySpec, direction: 'ingress' | 'egress'): boolean {
  if (spec.policyTypes !== undefined)
    return spec.policyTypes.some((type) => type.toLowerCase() === direction);
  return direction === 'ingress' || spec.egress !== undefined;
}

/** A rule without ports allows every port; addresses outside the cluster and DNS servers don't speak HBONE. */
function needsHbone(rule: PolicyRule, direction: 'ingress' | 'egress'): boolean {
  const { ports = [] } = rule;
  const peers = peersOf(rule, direction);
  if (ports.length === 0 || ports.some(allowsHbone)) return false;
  if (peers.length > 0 && peers.every(({ ipBlock }) => ipBlock !== undefined)) return false;
  return ports.some(({ port, protocol = 'TCP' }) => protocol === 'TCP' && port !== DNS_PORT);
}

function covers(other: PolicyRule, rule: PolicyRule, direction: 'ingress' | 'egress'): boolean {
  if (other.ports !== undefined && other.ports.length > 0 && !other.ports.some(allowsHbone)) return false;
  const peers = peersOf(other, direction);
  return peers.length === 0 || JSON.stringify(peers) === JSON.stringify(peersOf(rule, direction));
}

function peersOf({ from, to }: PolicyRule, direction: 'ingress' | 'egress'): readonly PolicyPeer[] {
  return (direction === 'ingress' ? from : to) ?? [];
}

function allowsHbone({ protocol = 'TCP', port, endPort }: PolicyPort): boolean {
  if (protocol !== 'TCP') return false;
  if (port === undefined) return true;
  return typeof port === 'number' && port <= Port.hbone && Port.hbone <= (endPort ?? port);
}
