import { Annotation, Label, NO_WAYPOINT } from '@weft/api';
import type { Labels } from '@weft/collections';
import { type Waypoint, allowsNamespace } from './waypoints.ts';

/** What became of the wish to be served by a waypoint. */
export type WaypointBinding =
  | { readonly kind: 'unasked' }
  | { readonly kind: 'bound'; readonly waypoint: Waypoint; readonly inherited: boolean }
  | {
      readonly kind: 'refused';
      readonly reference: WaypointReference;
      readonly reason: BindingRefusal;
      readonly message: string;
    };

export type BindingRefusal =
  | 'WaypointIsNotReady'
  | 'AttachmentDenied'
  | 'UnsupportedTrafficType'
  | 'CrossNamespaceWaypointForbidden';

/** A second waypoint that takes a share of a Service's connections. */
export type CanaryBinding =
  | { readonly kind: 'unasked' }
  | { readonly kind: 'bound'; readonly waypoint: Waypoint; readonly percent: number }
  | {
      readonly kind: 'refused';
      readonly reason: BindingRefusal | 'CanaryInvalidWeight' | 'CanarySameAsPrimary';
      readonly message: string;
    };

export interface WaypointReference {
  readonly namespace: string;
  readonly name: string;
  /** By the namespace's labels rather than the object's own. */
  readonly inherited: boolean;
}

export interface BindingSubject {
  readonly kind: 'service' | 'workload';
  readonly namespace: string;
  readonly labels: Labels;
  readonly namespaceLabels: Labels;
  /** Nobody outside of the namespace may learn of it, not even a waypoint. */
  readonly isPrivate?: boolean;
}

/** Gateways that look like waypoints, whatever their class: to tell a missing one from an unready one. */
export interface WaypointLookup {
  waypoint(key: string): Waypoint | undefined;
}

/** Undefined where nobody asks, and where the object opts out of what its namespace asks for. */
export function waypointReference(subject: Omit<BindingSubject, 'kind'>): WaypointReference | undefined {
  // The object's own label counts even when it points nowhere: falling back would send traffic where nobody said.
  const own = referenceIn(subject.labels, subject.namespace, false);
  if (own === undefined) return referenceIn(subject.namespaceLabels, subject.namespace, true);
  return own.name === NO_WAYPOINT ? undefined : own;
}

function referenceIn(labels: Labels, namespace: string, inherited: boolean): WaypointReference | undefined {
  const name = labels[Label.useWaypoint] ?? '';
  if (name === '' || (inherited && name === NO_WAYPOINT)) return undefined;
  return { namespace: labels[Label.useWaypointNamespace] || namespace, name, inherited };
}

export function bindWaypoint(subject: BindingSubject, lookup: WaypointLookup): WaypointBinding {
  const reference = waypointReference(subject);
  if (reference === undefined) return { kind: 'unasked' };
  const { inherited } = reference;
  const found = usable(reference, subject, lookup);
  if (found.kind === 'usable') return { kind: 'bound', waypoint: found.waypoint, inherited };
  // A namespace's label is meant for what the waypoint serves; the rest is left alone without a word.
  if (found.reason === 'UnsupportedTrafficType' && inherited && subject.kind === 'workload')
    return { kind: 'unasked' };
  return { ...found, reference };
}

/**
 * The canary of a bound Service, asked for where the waypoint itself was: by the Service, or by its namespace.
 * @param weights in percent, as annotated
 */
export function bindCanary(
  subject: BindingSubject & {
    readonly weights: { readonly own: string | undefined; readonly namespace: string | undefined };
  },
  primary: Extract<WaypointBinding, { kind: 'bound' }>,
  lookup: WaypointLookup,
): CanaryBinding {
  const labels = primary.inherited ? subject.namespaceLabels : subject.labels;
  const name = labels[Label.useWaypointCanary] ?? '';
  if (name === '') return { kind: 'unasked' };
  const namespace = labels[Label.useWaypointCanaryNamespace] || subject.namespace;
  const weight = (primary.inherited ? subject.weights.namespace : subject.weights.own) ?? '0';
  if (!/^\d{1,3}$/.test(weight) || Number(weight) > 100) {
    const message = `"${weight}" is not a percentage: ${Annotation.canaryWeight} is a whole number from 0 to 100`;
    return { kind: 'refused', reason: 'CanaryInvalidWeight', message };
  }
  if (namespace === primary.waypoint.namespace && name === primary.waypoint.name) {
    const message = `waypoint ${namespace}/${name} cannot be its own canary`;
    return { kind: 'refused', reason: 'CanarySameAsPrimary', message };
  }
  const found = usable({ namespace, name }, subject, lookup);
  return found.kind === 'usable'
    ? { kind: 'bound', waypoint: found.waypoint, percent: Number(weight) }
    : found;
}

type Usable =
  | { readonly kind: 'usable'; readonly waypoint: Waypoint }
  | { readonly kind: 'refused'; readonly reason: BindingRefusal; readonly message: string };

function usable(
  { namespace, name }: Pick<WaypointReference, 'namespace' | 'name'>,
  subject: BindingSubject,
  lookup: WaypointLookup,
): Usable {
  const refused = (reason: BindingRefusal, message: string): Usable => ({ kind: 'refused', reason, message });
  if (subject.isPrivate === true && namespace !== subject.namespace) {
    return refused(
      'CrossNamespaceWaypointForbidden',
      `waypoint ${namespace}/${name} is in another namespace, and only namespace ${subject.namespace} may see this`,
    );
  }
  const waypoint = lookup.waypoint(`${namespace}/${name}`);
  if (waypoint === undefined) {
    return refused('WaypointIsNotReady', `waypoint ${namespace}/${name} does not exist`);
  }
  const { serves, address } = waypoint;
  if (serves !== 'all' && serves !== subject.kind) {
    return refused(
      'UnsupportedTrafficType',
      `waypoint ${namespace}/${name} serves ${serves} traffic, not ${subject.kind}`,
    );
  }
  if (!allowsNamespace(waypoint, subject.namespace, subject.namespaceLabels)) {
    return refused(
      'AttachmentDenied',
      `waypoint ${namespace}/${name} does not allow attachment from namespace ${subject.namespace}`,
    );
  }
  if (address === undefined) {
    return refused('WaypointIsNotReady', `waypoint ${namespace}/${name} has no address yet`);
  }
  return { kind: 'usable', waypoint };
}
