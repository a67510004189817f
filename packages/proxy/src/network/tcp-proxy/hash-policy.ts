import type { envoy } from '@weft/api/envoy';
import type { StreamInfo } from '../../engine/types.ts';
import { invalid } from '../../matching/index.ts';
import { xxHash64 } from '../../upstream/load-balancer/xx-hash.ts';

/** What consistent hashing goes by; undefined: nothing to hash. */
export type ConnectionHash = (info: StreamInfo) => bigint | undefined;

/** @throws InvalidValue: Envoy takes one policy at most. */
export function compileConnectionHash(
  policies: readonly envoy.type.v3.HashPolicy.$Properties[],
): ConnectionHash | undefined {
  if (policies.length > 1) invalid('at most 1 policy', 'hash_policy');
  const [policy] = policies;
  switch (policy?.policySpecifier) {
    case 'sourceIp':
      return ({ remoteAddress }) => (remoteAddress.kind === 'ip' ? xxHash64(remoteAddress.ip) : undefined);
    case 'filterState': {
      const key = policy.filterState?.key ?? '';
      return ({ filterState }) => {
        const value = filterState.text(key);
        return value === undefined ? undefined : xxHash64(value);
      };
    }
    default:
      return undefined;
  }
}
