import {
  matchesNodeSelectorTerm,
  type Node,
  type NodeSelectorTerm,
  type Pod,
  type PodSpec,
} from '@weft/kubernetes';

export interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}
export interface Toleration {
  readonly key?: string;
  readonly operator?: string;
  readonly value?: string;
  readonly effect?: string;
  readonly tolerationSeconds?: number;
}

/** Why the pod can't go to the node, in the words of the Kubernetes scheduler; undefined when it can. */
export function unfitReason(pod: Pod, node: Node): string | undefined {
  const spec = pod.spec;
  if (spec === undefined) return 'node(s) had no pod to judge';
  if (node.spec?.unschedulable === true && !tolerates(spec, unschedulableTaint))
    return 'node(s) were unschedulable';
  const taint = (node.spec?.taints ?? []).find((t) => t.effect !== 'PreferNoSchedule' && !tolerates(spec, t));
  if (taint !== undefined) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ''}}`;
  if (!matchesNodeSelection(spec, node)) return "node(s) didn't match Pod's node affinity/selector";
  return undefined;
}

const unschedulableTaint: Taint = { key: 'node.kubernetes.io/unschedulable', effect: 'NoSchedule' };

export function matchesNodeSelection(spec: PodSpec, node: Node): boolean {
  const labels = node.metadata.labels ?? {};
  // nodeSelector, affinity and tolerations have passed the API server's schema.
  const nodeSelector = (spec['nodeSelector'] ?? {}) as Readonly<Record<string, string>>;
  if (Object.entries(nodeSelector).some(([key, value]) => labels[key] !== value)) return false;
  const terms = requiredTerms(spec);
  return terms === undefined || terms.some((term) => matchesNodeSelectorTerm(term, node));
}

/** The node that a DaemonSet pod is bound to by its affinity. */
export function pinnedNode(spec: PodSpec): string | undefined {
  const field = requiredTerms(spec)?.[0]?.matchFields?.find(({ key }) => key === 'metadata.name');
  return field?.operator === 'In' ? field.values?.[0] : undefined;
}

/** Affinity that allows exactly one node, in place of what the template asked of nodes. */
export function pinTo(spec: PodSpec, nodeName: string): Readonly<Record<string, unknown>> {
  const affinity = (spec['affinity'] ?? {}) as Readonly<Record<string, unknown>>; // as above
  const term: NodeSelectorTerm = {
    matchFields: [{ key: 'metadata.name', operator: 'In', values: [nodeName] }],
  };
  return {
    affinity: {
      ...affinity,
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: [term] },
      },
    },
  };
}

export function tolerates(spec: PodSpec, taint: Taint): boolean {
  return tolerationOf(spec, taint) !== undefined;
}

export function tolerationOf(spec: PodSpec, taint: Taint): Toleration | undefined {
  const tolerations = (spec['tolerations'] ?? []) as readonly Toleration[]; // as above
  return tolerations.find(
    (t) =>
      (t.effect === undefined || t.effect === '' || t.effect === taint.effect) &&
      (t.key === undefined || t.key === '' ? t.operator === 'Exists' : t.key === taint.key) &&
      (t.operator === 'Exists' || (t.value ?? '') === (taint.value ?? '')),
  );
}

function requiredTerms(spec: PodSpec): readonly NodeSelectorTerm[] | undefined {
  const affinity = spec['affinity'] as // as above
    | {
        readonly nodeAffinity?: {
          readonly requiredDuringSchedulingIgnoredDuringExecution?: {
            readonly nodeSelectorTerms?: readonly NodeSelectorTerm[];
          };
        };
      }
    | undefined;
  return affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms;
}
