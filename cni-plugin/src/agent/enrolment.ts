import { Annotation, Component } from '@weft/api';
import { matchesLabelSelector, type LabelSelector, type Namespace, type Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import { parse } from 'yaml';
import type { PodRuleOptions } from '../rules/pod-rules.ts';

/** A pod is enrolled when any selector matches; both parts of one selector must match. */
export interface EnablementSelector {
  readonly podSelector: LabelSelector;
  readonly namespaceSelector: LabelSelector;
}

export interface EnrolmentPolicy {
  readonly selectors: readonly EnablementSelector[];
  readonly excludedNamespaces: ReadonlySet<string>;
  readonly systemNamespace: string;
}

export type Enrolment =
  | { readonly kind: 'enrol' }
  /** Why not, for logs and `weft check`. */
  | { readonly kind: 'leave'; readonly reason: string };

/** Whether a pod's traffic is to be redirected. Says nothing about whether it runs. */
export function decideEnrolment(
  policy: EnrolmentPolicy,
  pod: Pod,
  namespace: Namespace | undefined,
): Enrolment {
  const { metadata, spec } = pod;
  const leave = (reason: string): Enrolment => ({ kind: 'leave', reason });
  if (spec?.hostNetwork === true) return leave('uses the network of the node');
  if (policy.excludedNamespaces.has(metadata.namespace ?? '')) return leave('namespace is excluded');
  if (metadata.annotations?.[Annotation.sidecarStatus] !== undefined) return leave('has a sidecar');
  if (metadata.namespace === policy.systemNamespace && metadata.labels?.['app'] === Component.ztunnel) {
    return leave('is ztunnel itself');
  }
  const wanted = policy.selectors.some(
    ({ podSelector, namespaceSelector }) =>
      matchesLabelSelector(podSelector, metadata.labels) &&
      matchesLabelSelector(namespaceSelector, namespace?.metadata.labels),
  );
  return wanted ? { kind: 'enrol' } : leave('no label asks for it');
}

/** Pods that will not run again have no traffic to redirect. */
export function isFinished(pod: Pod): boolean {
  return pod.status?.phase === 'Succeeded' || pod.status?.phase === 'Failed';
}

/** Per-pod annotations over the agent's setting; a value that is no boolean counts as absent. */
export function ruleOptions(pod: Pod, agent: { readonly dnsCapture: boolean }): PodRuleOptions {
  const annotations = pod.metadata.annotations ?? {};
  const interfaces = (annotations[Annotation.rerouteVirtualInterfaces] ?? '')
    .split(',')
    .map((name) => name.trim());
  return {
    bypassInbound: parseBool(annotations[Annotation.bypassInboundCapture]) ?? false,
    dnsCapture: parseBool(annotations[Annotation.dnsCapture]) ?? agent.dnsCapture,
    // Names go into a rule file: only what the kernel takes as an interface name.
    virtualInterfaces: interfaces.filter((name) => /^[A-Za-z0-9_.-]{1,15}$/.test(name)),
  };
}

/** Go's ParseBool. */
export function parseBool(text: string | undefined): boolean | undefined {
  if (['1', 't', 'T', 'TRUE', 'true', 'True'].includes(text ?? '')) return true;
  if (['0', 'f', 'F', 'FALSE', 'false', 'False'].includes(text ?? '')) return false;
  return undefined;
}

/** Reads the YAML list of the chart. */
export function parseSelectors(text: string): readonly EnablementSelector[] {
  const value: unknown = parse(text);
  if (!Array.isArray(value) || value.length === 0) {
    throw new WeftError('WEFT1001', 'AMBIENT_ENABLEMENT_SELECTOR: expected a list of selectors');
  }
  return value.map((entry: unknown, index) => parseSelector(entry, `AMBIENT_ENABLEMENT_SELECTOR[${index}]`));
}

/** A part that is left out matches everything. `where` names the entry in messages. */
export function parseSelector(entry: unknown, where: string): EnablementSelector {
  if (typeof entry !== 'object' || entry === null) {
    throw new WeftError('WEFT1001', `${where}: expected podSelector and namespaceSelector`);
  }
  const part = (name: 'podSelector' | 'namespaceSelector'): LabelSelector => {
    const value: unknown = Object.hasOwn(entry, name) ? Reflect.get(entry, name) : {};
    if (typeof value !== 'object' || value === null) {
      throw new WeftError('WEFT1001', `${where}.${name}: expected a label selector`);
    }
    for (const key of Object.keys(value)) {
      if (key !== 'matchLabels' && key !== 'matchExpressions') {
        throw new WeftError('WEFT1001', `${where}.${name}.${key}: unknown field`);
      }
    }
    return value; // every field of LabelSelector is optional, and matching takes foreign shapes as no match
  };
  return { podSelector: part('podSelector'), namespaceSelector: part('namespaceSelector') };
}
