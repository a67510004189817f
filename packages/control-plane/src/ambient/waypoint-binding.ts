import { Label, NO_WAYPOINT } from '@weft/api';
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

export type BindingRefusal = 'WaypointIsNotReady' | 'AttachmentDenied' | 'UnsupportedTrafficType';

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
  const { namespace, name, inherited } = reference;
  const refused = (reason: BindingRefusal, message: string): WaypointBinding => ({
    kind: 'refused',
    reference,
    reason,
    message,
  });
  const waypoint = lookup.waypoint(`${namespace}/${name}`);
  if (waypoint === undefined) {
    return refused('WaypointIsNotReady', `waypoint ${namespace}/${name} does not exist`);
  }
  const { serves, address } = waypoint;
  if (serves !== 'all' && serves !== subject.kind) {
    // A namespace's label is meant for what the waypoint serves; the rest is left alone without a word.
    if (inherited && subject.kind === 'workload') return { kind: 'unasked' };
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
  return { kind: 'bound', waypoint, inherited };
}
