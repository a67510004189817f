import { describe, expect, it } from '@jest/globals';
import { workloadToJson } from '@weft/api/workload-json';
import { GoldenDirectory } from '../testing/golden-cases.ts';
import { formatAddress } from './addresses.ts';
import { createMesh } from './test-mesh.ts';

/**
 * What ztunnels are told of each case, and what users are told in conditions, in JSON beside it;
 * `WEFT_UPDATE_GOLDEN=true` writes that anew.
 */
const golden = new GoldenDirectory('ambient/golden');

/** ProtoJSON has bytes in base64; nobody can read an address in that. */
function withAddresses(value: unknown, key = ''): unknown {
  if (Array.isArray(value)) return value.map((member) => withAddresses(member, key));
  if (typeof value === 'string' && /^address(es)?$/.test(key)) {
    const bytes = Buffer.from(value, 'base64');
    return bytes.length === 4 || bytes.length === 16 ? formatAddress(bytes) : value;
  }
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, withAddresses(member, name)]),
  );
}

function sorted<T>(entries: Iterable<readonly [string, T]>): Record<string, T> {
  return Object.fromEntries([...entries].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Cases of what happens only when it is asked for. */
const options: Readonly<Record<string, Parameters<typeof createMesh>[0]>> = {
  'policy-lists': { allowWaypoints: true, sendDryRun: true },
};
/** The case about them; elsewhere they would only repeat the addresses. */
const casesWithAliases = ['names'];

function resourcesOf(name: string): unknown {
  const mesh = createMesh(options[name]);
  mesh.apply(...golden.objects(name));
  expect(mesh.errors).toEqual([]);
  const { addresses, authorizations } = mesh.ambient;
  return {
    addresses: sorted(
      [...addresses.entries()].map(([key, { bytes }]) => [
        key,
        withAddresses(workloadToJson('istio.workload.Address', bytes)),
      ]),
    ),
    policies: sorted(
      [...authorizations.entries()].map(([key, { bytes }]) => [
        key,
        withAddresses(workloadToJson('istio.security.Authorization', bytes)),
      ]),
    ),
    conditions: sorted(mesh.conditionsOfAll()),
    ...(casesWithAliases.includes(name)
      ? { aliases: sorted([...addresses.entries()].map(([key, { aliases }]) => [key, aliases])) }
      : {}),
  };
}

describe('translation to the workload API', () => {
  it.each(golden.cases)('%s', (name) => {
    const actual = resourcesOf(name);
    expect(actual).toEqual(golden.expected(name, actual));
  });
});
