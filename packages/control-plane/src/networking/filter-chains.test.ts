import { expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { type PathNormalization, defaultWaypointSettings } from '../ambient/waypoint-settings.ts';
import type { AuthorizationPolicySpec, PolicyObject } from '../sources/policy-objects.ts';
import { httpChain } from './filter-chains.ts';

const { HttpConnectionManager } = envoy.extensions.filters.network.http_connection_manager.v3;
const actions = HttpConnectionManager.PathWithEscapedSlashesAction;

function connectionManager(
  pathNormalization: PathNormalization,
  authorization: readonly PolicyObject<AuthorizationPolicySpec>[] = [],
) {
  const { filters = [] } = httpChain({
    cluster: 'c',
    port: 80,
    routes: [],
    authorization,
    authentication: [],
    jwks: () => undefined,
    provider: () => undefined,
    settings: { ...defaultWaypointSettings, pathNormalization },
  });
  return HttpConnectionManager.decode(filters?.at(-1)?.typedConfig?.value ?? new Uint8Array());
}

it.each<[PathNormalization, boolean, boolean, keyof typeof actions]>([
  ['DEFAULT', true, true, 'KEEP_UNCHANGED'],
  ['NONE', false, false, 'KEEP_UNCHANGED'],
  ['BASE', true, false, 'KEEP_UNCHANGED'],
  ['MERGE_SLASHES', true, true, 'KEEP_UNCHANGED'],
  ['DECODE_AND_MERGE_SLASHES', true, true, 'UNESCAPE_AND_FORWARD'],
])('normalizes paths as %s says', (normalization, normalizes, merges, escaped) => {
  const manager = connectionManager(normalization);
  expect(manager.normalizePath?.value).toBe(normalizes);
  expect(manager.mergeSlashes).toBe(merges);
  expect(manager.pathWithEscapedSlashesAction).toBe(actions[escaped]);
});

it('refuses escaped slashes where a policy decides by paths, unless they are decoded', () => {
  const byPath: PolicyObject<AuthorizationPolicySpec> = {
    namespace: 'shop',
    name: 'p',
    createdAt: '',
    annotations: {},
    generation: 1,
    conditions: [],
    spec: { rules: [{ to: [{ operation: { paths: ['/admin/*'] } }] }] },
  };
  expect(connectionManager('BASE', [byPath]).pathWithEscapedSlashesAction).toBe(actions.REJECT_REQUEST);
  expect(connectionManager('DECODE_AND_MERGE_SLASHES', [byPath]).pathWithEscapedSlashesAction).toBe(
    actions.UNESCAPE_AND_FORWARD,
  );
});
