import { describe, expect, it } from '@jest/globals';
import { bindCanary, bindWaypoint } from './waypoint-binding.ts';
import type { Waypoint } from './waypoints.ts';

const USE = 'istio.io/use-waypoint';
const USE_NAMESPACE = 'istio.io/use-waypoint-namespace';

const ready: Waypoint = {
  namespace: 'shop',
  name: 'wp',
  serves: 'service',
  address: { kind: 'hostname', hostname: 'wp.shop.svc.cluster.local' },
  attachment: { kind: 'same' },
  serviceAccount: 'wp',
  inboundBinding: undefined,
};
const waypoints: Readonly<Record<string, Waypoint>> = {
  'shop/wp': ready,
  'shop/unready': { ...ready, name: 'unready', address: undefined },
  'shop/pods': { ...ready, name: 'pods', serves: 'workload' },
  'shop/nobody': { ...ready, name: 'nobody', serves: 'none' },
  'shop/any': { ...ready, name: 'any', serves: 'all' },
  'infra/open': { ...ready, namespace: 'infra', name: 'open', attachment: { kind: 'all' } },
  'infra/closed': { ...ready, namespace: 'infra', name: 'closed' },
  'infra/team': {
    ...ready,
    namespace: 'infra',
    name: 'team',
    attachment: {
      kind: 'selector',
      selector: { matchExpressions: [{ key: 'team', operator: 'In', values: ['a', 'b'] }] },
    },
  },
};

function outcome(
  kind: 'service' | 'workload',
  labels: Readonly<Record<string, string>>,
  namespaceLabels: Readonly<Record<string, string>> = {},
): string {
  const binding = bindWaypoint(
    { kind, namespace: 'shop', labels, namespaceLabels },
    { waypoint: (key) => waypoints[key] },
  );
  switch (binding.kind) {
    case 'unasked':
      return 'unasked';
    case 'bound':
      return `${binding.waypoint.namespace}/${binding.waypoint.name}`;
    case 'refused':
      return binding.reason;
  }
}

describe('binding to a waypoint', () => {
  it.each([
    ['nobody asks', {}, {}, 'unasked'],
    ['by its own label', { [USE]: 'wp' }, {}, 'shop/wp'],
    ["by its namespace's label", {}, { [USE]: 'wp' }, 'shop/wp'],
    ['its own label wins', { [USE]: 'any' }, { [USE]: 'wp' }, 'shop/any'],
    ['opts out', { [USE]: 'none' }, { [USE]: 'wp' }, 'unasked'],
    ['the namespace asks for none', {}, { [USE]: 'none' }, 'unasked'],
    ['a missing waypoint does not fall back', { [USE]: 'gone' }, { [USE]: 'wp' }, 'WaypointIsNotReady'],
    ['an unready one does not either', { [USE]: 'unready' }, { [USE]: 'wp' }, 'WaypointIsNotReady'],
    ['another kind of traffic', { [USE]: 'pods' }, {}, 'UnsupportedTrafficType'],
    ['one that serves nobody', { [USE]: 'nobody' }, {}, 'UnsupportedTrafficType'],
    ['in a namespace open to all', { [USE]: 'open', [USE_NAMESPACE]: 'infra' }, {}, 'infra/open'],
    [
      'in a namespace closed to others',
      { [USE]: 'closed', [USE_NAMESPACE]: 'infra' },
      {},
      'AttachmentDenied',
    ],
    ['namespace and its label, inherited', {}, { [USE]: 'open', [USE_NAMESPACE]: 'infra' }, 'infra/open'],
    ['a selected namespace', { [USE]: 'team', [USE_NAMESPACE]: 'infra' }, { team: 'a' }, 'infra/team'],
    ['one not selected', { [USE]: 'team', [USE_NAMESPACE]: 'infra' }, { team: 'c' }, 'AttachmentDenied'],
  ])('of a Service: %s', (_case, labels, namespaceLabels, expected) => {
    expect(outcome('service', labels, namespaceLabels)).toBe(expected);
  });

  it.each([
    ['to one that serves workloads', { [USE]: 'pods' }, {}, 'shop/pods'],
    ['to one that serves all', { [USE]: 'any' }, {}, 'shop/any'],
    ['of its own wish to one for Services', { [USE]: 'wp' }, {}, 'UnsupportedTrafficType'],
    ['inherited, to one for Services, is silent', {}, { [USE]: 'wp' }, 'unasked'],
  ])('of a workload %s', (_case, labels, namespaceLabels, expected) => {
    expect(outcome('workload', labels, namespaceLabels)).toBe(expected);
  });
});

describe('binding to a canary', () => {
  const CANARY = 'istio.io/use-waypoint-canary';
  const CANARY_NAMESPACE = 'istio.io/use-waypoint-canary-namespace';
  const lookup = { waypoint: (key: string) => waypoints[key] };
  it.each([
    ['nobody asks', {}, '10', {}, 'unasked'],
    ['with a share', { [CANARY]: 'any' }, '10', {}, 'shop/any 10'],
    ['without one', { [CANARY]: 'any' }, undefined, {}, 'shop/any 0'],
    ['with everything', { [CANARY]: 'any' }, '100', {}, 'shop/any 100'],
    ['of another namespace', { [CANARY]: 'open', [CANARY_NAMESPACE]: 'infra' }, '1', {}, 'infra/open 1'],
    ['with more than everything', { [CANARY]: 'any' }, '101', {}, 'CanaryInvalidWeight'],
    ['with a part of a percent', { [CANARY]: 'any' }, '0.5', {}, 'CanaryInvalidWeight'],
    ['with no number', { [CANARY]: 'any' }, 'some', {}, 'CanaryInvalidWeight'],
    ['that is the waypoint itself', { [CANARY]: 'wp' }, '10', {}, 'CanarySameAsPrimary'],
    ['that is missing', { [CANARY]: 'gone' }, '10', {}, 'WaypointIsNotReady'],
    ['that is not ready', { [CANARY]: 'unready' }, '10', {}, 'WaypointIsNotReady'],
    ['for pods', { [CANARY]: 'pods' }, '10', {}, 'UnsupportedTrafficType'],
    ['that is closed', { [CANARY]: 'closed', [CANARY_NAMESPACE]: 'infra' }, '1', {}, 'AttachmentDenied'],
    ['of the namespace, which has nothing to say here', {}, '10', { [CANARY]: 'any' }, 'unasked'],
  ])('of a Service: %s', (_case, labels, weight, namespaceLabels, expected) => {
    const subject = {
      kind: 'service',
      namespace: 'shop',
      labels,
      namespaceLabels,
      weights: { own: weight, namespace: '50' },
    } as const;
    const canary = bindCanary(subject, { kind: 'bound', waypoint: ready, inherited: false }, lookup);
    expect(
      canary.kind === 'bound'
        ? `${canary.waypoint.namespace}/${canary.waypoint.name} ${canary.percent}`
        : canary.kind === 'refused'
          ? canary.reason
          : canary.kind,
    ).toBe(expected);
  });

  it('is read where the waypoint was asked for', () => {
    const subject = {
      kind: 'service',
      namespace: 'shop',
      labels: { [CANARY]: 'gone' },
      namespaceLabels: { [CANARY]: 'any' },
      weights: { own: '1', namespace: '50' },
    } as const;
    const canary = bindCanary(subject, { kind: 'bound', waypoint: ready, inherited: true }, lookup);
    expect(canary).toMatchObject({ kind: 'bound', waypoint: { name: 'any' }, percent: 50 });
  });
});
