import { describe, expect, it } from '@jest/globals';
import { type MtlsMode, type PeerAuthenticationSpec, type PolicyObject } from '../sources/policy-objects.ts';
import {
  convertPeerAuthentication,
  derivedPolicyNames,
  effectiveMode,
  oldest,
} from './peer-authentications.ts';

type Ports = Readonly<Record<number, MtlsMode>>;

function peer(
  mode: MtlsMode | undefined,
  ports: Ports = {},
  namespace = 'shop',
): PolicyObject<PeerAuthenticationSpec> {
  return {
    namespace,
    name: 'x',
    generation: 1,
    createdAt: '2026-01-01T00:00:00Z',
    annotations: {},
    conditions: [],
    spec: {
      selector: { matchLabels: { app: 'web' } },
      ...(mode === undefined ? {} : { mtls: { mode } }),
      portLevelMtls: Object.fromEntries(Object.entries(ports).map(([port, m]) => [port, { mode: m }])),
    },
  };
}

const none = undefined;
const strictRef = 'root/istio_converted_static_strict';
const ownRef = 'shop/converted_peer_authentication_x';
const noIdentity = { matches: [{ notPrincipals: [{ presence: {} }] }] };
const onPort = (port: number) => ({ clauses: [noIdentity, { matches: [{ destinationPorts: [port] }] }] });
const exceptPorts = (...ports: number[]) => ({
  clauses: [noIdentity, ...ports.map((port) => ({ matches: [{ notDestinationPorts: [port] }] }))],
});

// The table is the specification: modes of workload, its ports, namespace and root; what the workload lists; the rules.
const cases: readonly [
  MtlsMode | undefined,
  Ports,
  MtlsMode | undefined,
  MtlsMode | undefined,
  string[],
  unknown,
][] = [
  [none, {}, none, none, [], none],
  ['STRICT', {}, none, none, [strictRef], none],
  [none, {}, 'STRICT', none, [strictRef], none],
  [none, {}, none, 'STRICT', [strictRef], none],
  ['UNSET', {}, 'UNSET', 'STRICT', [strictRef], none],
  ['PERMISSIVE', {}, 'STRICT', 'STRICT', [], none],
  ['DISABLE', {}, 'STRICT', 'STRICT', [], none],
  [none, {}, 'PERMISSIVE', 'STRICT', [], none],
  // A STRICT port of a workload that isn't.
  ['PERMISSIVE', { 80: 'STRICT' }, none, none, [ownRef], [onPort(80)]],
  ['DISABLE', { 81: 'STRICT', 80: 'STRICT' }, none, none, [ownRef], [onPort(80), onPort(81)]],
  [none, { 80: 'STRICT' }, none, none, [ownRef], [onPort(80)]],
  // Upstream skips this one, and leaves the port open.
  ['PERMISSIVE', { 80: 'STRICT' }, none, 'STRICT', [ownRef], [onPort(80)]],
  ['DISABLE', { 80: 'STRICT' }, none, 'STRICT', [ownRef], [onPort(80)]],
  // Redundant.
  ['STRICT', { 80: 'STRICT' }, none, none, [strictRef], none],
  [none, { 80: 'STRICT' }, 'STRICT', none, [strictRef], none],
  ['STRICT', { 80: 'UNSET' }, none, none, [strictRef], none],
  ['PERMISSIVE', { 80: 'DISABLE' }, none, none, [], none],
  // Exemptions, in one rule.
  ['STRICT', { 80: 'PERMISSIVE' }, none, none, [ownRef], [exceptPorts(80)]],
  ['STRICT', { 90: 'PERMISSIVE', 80: 'DISABLE', 70: 'STRICT' }, none, none, [ownRef], [exceptPorts(80, 90)]],
  [none, { 80: 'PERMISSIVE' }, none, 'STRICT', [ownRef], [exceptPorts(80)]],
  // Upstream doesn't see DISABLE as an exception when STRICT is inherited.
  ['UNSET', { 80: 'DISABLE' }, 'STRICT', none, [ownRef], [exceptPorts(80)]],
];

describe('PeerAuthentication', () => {
  it.each(cases)(
    'workload %s %j, namespace %s, root %s: lists %j',
    (mode, ports, namespace, root, names, rules) => {
      const levels = {
        workload: peer(mode, ports),
        namespace: namespace === undefined ? undefined : peer(namespace),
        root: root === undefined ? undefined : peer(root, {}, 'root'),
      };
      expect(derivedPolicyNames(levels, 'root')).toEqual(names);
      expect(convertPeerAuthentication(levels)?.rules).toEqual(rules);
    },
  );

  it('is permissive when nobody says anything', () => {
    expect(effectiveMode({ workload: undefined, namespace: undefined, root: undefined })).toBe('PERMISSIVE');
  });

  it('lets the oldest of a level win, and the name decide a tie', () => {
    const at = (name: string, createdAt: string) => ({ ...peer('STRICT'), name, createdAt });
    const old = '2025-01-01T00:00:00Z';
    expect(oldest([at('new', '2026-01-01T00:00:00Z'), at('b', old), at('a', old)])?.name).toBe('a');
    expect(oldest([])).toBeUndefined();
  });
});
