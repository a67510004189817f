import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type JsonObject, type JsonValue, jsonEquals, objectAt, TypeRegistry } from '../schema/index.ts';
import { trackUpdate, withoutManagedFields } from './managed-fields.ts';
import { type ApplyResult, serverSideApply } from './server-side-apply.ts';

const registry = TypeRegistry.load();
const schema = (() => {
  const found = registry.typeOf('apps', 'v1', 'Deployment');
  if (found === undefined) throw new Error('no type Deployment');
  return found;
})();
const now = new Date('2024-01-02T03:04:05Z');

interface Step {
  readonly manager: string;
  readonly force?: boolean;
  readonly subresource?: string;
}

function apply(
  live: JsonObject | undefined,
  applied: JsonObject,
  { manager, force = false, subresource }: Step,
): ApplyResult {
  return serverSideApply({
    schema,
    ...(live === undefined ? {} : { live }),
    applied: { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' }, ...applied },
    manager,
    force,
    apiVersion: 'apps/v1',
    ...(subresource === undefined ? {} : { subresource }),
    now,
  });
}

function applied(live: JsonObject | undefined, object: JsonObject, step: Step): JsonObject {
  const result = apply(live, object, step);
  if (result.kind !== 'applied') throw new Error(result.message);
  return result.object;
}

function updated(before: JsonObject, after: JsonObject, manager: string): JsonObject {
  const managedFields = trackUpdate({ schema, before, after, manager, apiVersion: 'apps/v1', now });
  return { ...after, metadata: { ...objectAt(after, 'metadata'), managedFields } };
}

function fieldsOf(object: JsonObject, manager: string): JsonValue | undefined {
  const entries = objectAt(object, 'metadata')?.['managedFields'];
  return (entries as JsonObject[]).find((entry) => entry['manager'] === manager)?.['fieldsV1']; // as written by us
}

const template = (...containers: readonly JsonObject[]): JsonObject => ({
  template: { spec: { containers: [...containers] } },
});

// Agrees with client-go's managed fields on thousands of random sequences; these are the rules it follows.
describe('serverSideApply', () => {
  it('records what a manager applied', () => {
    const object = applied(
      undefined,
      {
        metadata: { name: 'd', labels: { a: '1' } },
        spec: { replicas: 2, ...template({ name: 'c', ports: [{ containerPort: 80 }] }) },
      },
      { manager: 'm' },
    );
    expect(objectAt(object, 'metadata')?.['managedFields']).toEqual([
      {
        apiVersion: 'apps/v1',
        fieldsType: 'FieldsV1',
        fieldsV1: {
          'f:metadata': { 'f:labels': { 'f:a': {} } },
          'f:spec': {
            'f:replicas': {},
            'f:template': {
              'f:spec': {
                'f:containers': {
                  'k:{"name":"c"}': {
                    '.': {},
                    'f:name': {},
                    'f:ports': {
                      'k:{"containerPort":80,"protocol":"TCP"}': { '.': {}, 'f:containerPort': {} },
                    },
                  },
                },
              },
            },
          },
        },
        manager: 'm',
        operation: 'Apply',
        time: '2024-01-02T03:04:05Z',
      },
    ]);
  });

  it('removes what the manager no longer applies, unless somebody else holds it', () => {
    const first = applied(
      undefined,
      { spec: { replicas: 2, minReadySeconds: 5, ...template({ name: 'a' }, { name: 'b' }) } },
      { manager: 'm' },
    );
    const shared = applied(
      first,
      { spec: { minReadySeconds: 5, ...template({ name: 'b' }) } },
      { manager: 'n' },
    );
    const after = applied(shared, { spec: { ...template({ name: 'a', image: 'x' }) } }, { manager: 'm' });
    expect(after['spec']).toEqual({
      minReadySeconds: 5,
      ...template({ name: 'a', image: 'x' }, { name: 'b' }),
    });
  });

  it('keeps a plain field while somebody holds something below it', () => {
    const first = applied(undefined, { spec: template({ name: 'a' }) }, { manager: 'm' });
    const second = applied(first, { metadata: { name: 'd', labels: { x: '1' } } }, { manager: 'n' });
    const gone = applied(second, {}, { manager: 'm' });
    expect(withoutManagedFields(gone)).toEqual({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd', labels: { x: '1' } },
    });
  });

  it('refuses to change what another manager holds, and says whose it is', () => {
    const live = applied(undefined, { spec: { replicas: 1, minReadySeconds: 1 } }, { manager: 'a' });
    const one = apply(live, { spec: { replicas: 2 } }, { manager: 'b' });
    expect(one).toEqual({
      kind: 'conflict',
      message: 'Apply failed with 1 conflict: conflict with "a": .spec.replicas',
      conflicts: [{ manager: 'a', path: '.spec.replicas', message: 'conflict with "a"' }],
    });
    const two = apply(live, { spec: { replicas: 2, minReadySeconds: 2 } }, { manager: 'b' });
    expect(two).toMatchObject({
      message:
        'Apply failed with 2 conflicts: conflicts with "a":\n- .spec.minReadySeconds\n- .spec.replicas',
    });
  });

  it('names the version of an updating manager', () => {
    const live = applied(undefined, { spec: { replicas: 1 } }, { manager: 'a' });
    const changed = updated(live, { ...live, spec: { replicas: 3 } }, 'kubectl-edit');
    expect(apply(changed, { spec: { replicas: 1 } }, { manager: 'a' })).toMatchObject({
      message: 'Apply failed with 1 conflict: conflict with "kubectl-edit" using apps/v1: .spec.replicas',
    });
    expect(
      fieldsOf(applied(changed, { spec: { replicas: 1 } }, { manager: 'a', force: true }), 'kubectl-edit'),
    ).toBeUndefined();
  });

  it('shares a field whose value is the same', () => {
    const live = applied(undefined, { spec: { replicas: 1 } }, { manager: 'a' });
    const both = applied(live, { spec: { replicas: 1 } }, { manager: 'b' });
    expect([fieldsOf(both, 'a'), fieldsOf(both, 'b')]).toEqual([
      { 'f:spec': { 'f:replicas': {} } },
      { 'f:spec': { 'f:replicas': {} } },
    ]);
  });

  it('lets kubectl take over what it applied on the client side', () => {
    const lastApplied = JSON.stringify({
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: { name: 'd' },
      spec: { replicas: 1 },
    });
    const created = {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: {
        name: 'd',
        annotations: { 'kubectl.kubernetes.io/last-applied-configuration': lastApplied },
      },
      spec: { replicas: 1, minReadySeconds: 1 },
    };
    const managedFields = trackUpdate({
      schema,
      after: created,
      manager: 'kubectl-client-side-apply',
      apiVersion: 'apps/v1',
      now,
    });
    const live = { ...created, metadata: { ...created.metadata, managedFields } };
    expect(apply(live, { spec: { replicas: 2 } }, { manager: 'kubectl' }).kind).toBe('applied');
    expect(apply(live, { spec: { replicas: 2 } }, { manager: 'other' }).kind).toBe('conflict');
    expect(apply(live, { spec: { minReadySeconds: 2 } }, { manager: 'kubectl' }).kind).toBe('conflict');
  });

  it.each<[string, JsonObject]>([
    ['managedFields', { metadata: { name: 'd', managedFields: [] } }],
    ['an item without its key', { spec: template({ image: 'x' }) }],
    ['the same item twice', { spec: template({ name: 'a' }, { name: 'a' }) }],
  ])('refuses %s in the applied configuration', (_what, object) => {
    expect(() => apply(undefined, object, { manager: 'm' })).toThrow(
      expect.objectContaining({ name: 'PatchError', status: 400 }),
    );
  });

  const container = fc.record(
    {
      name: fc.constantFrom('a', 'b', 'c'),
      image: fc.constantFrom('1', '2'),
      args: fc.constant(['x'] as JsonValue),
    },
    { requiredKeys: ['name'] },
  );
  const configuration = fc
    .record(
      {
        replicas: fc.integer({ min: 1, max: 3 }),
        minReadySeconds: fc.integer({ min: 1, max: 3 }),
        template: fc.record({
          spec: fc.record({
            containers: fc.uniqueArray(container, { selector: ({ name }) => name, minLength: 1 }),
          }),
        }),
      },
      { requiredKeys: [] },
    )
    .map((spec) => spec as JsonObject); // absent members are absent, not undefined
  const steps = fc.array(fc.record({ manager: fc.constantFrom('a', 'b', 'c'), spec: configuration }), {
    minLength: 1,
    maxLength: 5,
  });

  it('with force always ends with all that was applied in the object', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        let live: JsonObject | undefined;
        for (const { manager, spec } of sequence) {
          live = applied(live, { spec }, { manager, force: true });
          expect(jsonEquals(contained(live['spec'] ?? {}, spec), spec)).toBe(true);
        }
      }),
      { numRuns: 200 },
    );
  });

  it('changes nothing when the same is applied again', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        let live: JsonObject | undefined;
        for (const { manager, spec } of sequence) live = applied(live, { spec }, { manager, force: true });
        const last = sequence.at(-1);
        if (last === undefined) return;
        expect(applied(live, { spec: last.spec }, { manager: last.manager })).toEqual(live);
      }),
      { numRuns: 200 },
    );
  });

  it('leaves nothing behind when every manager applies nothing', () => {
    fc.assert(
      fc.property(steps, (sequence) => {
        let live: JsonObject | undefined;
        for (const { manager, spec } of sequence) live = applied(live, { spec }, { manager, force: true });
        for (const manager of ['a', 'b', 'c']) live = applied(live, {}, { manager });
        expect(live).toEqual({
          apiVersion: 'apps/v1',
          kind: 'Deployment',
          metadata: { name: 'd', managedFields: [] },
        });
      }),
      { numRuns: 200 },
    );
  });
});

/** The parts of a value that the pattern speaks of. */
function contained(value: JsonValue, pattern: JsonValue): JsonValue {
  if (Array.isArray(pattern) && Array.isArray(value)) {
    return pattern.map((wanted) => {
      const name = (wanted as JsonObject)['name']; // containers, or args
      const found = value.find((item) =>
        name === undefined ? item === wanted : (item as JsonObject)['name'] === name,
      );
      return found === undefined ? null : contained(found, wanted);
    });
  }
  if (typeof pattern !== 'object' || pattern === null || typeof value !== 'object' || value === null)
    return value;
  const object = value as JsonObject; // not a list, as the pattern isn't
  return Object.fromEntries(
    Object.entries(pattern).map(([key, wanted]) => [key, contained(object[key] ?? null, wanted)]),
  );
}

describe('trackUpdate', () => {
  const base = { apiVersion: 'apps/v1', kind: 'Deployment', metadata: { name: 'd' } };

  it('owns containers and all in them when an object is created', () => {
    const after = { ...base, metadata: { name: 'd', labels: { a: '1' } } };
    const created = trackUpdate({ schema, after, manager: 'm', apiVersion: 'apps/v1', now });
    expect(created).toMatchObject([
      { fieldsV1: { 'f:metadata': { 'f:labels': { '.': {}, 'f:a': {} } } }, operation: 'Update' },
    ]);
  });

  it('moves changed fields to the manager who changed them and forgets removed ones', () => {
    const created = updated({ ...base, metadata: { name: 'd', managedFields: [] } }, base, 'x');
    const live = applied(
      created,
      { spec: { replicas: 1, minReadySeconds: 1, revisionHistoryLimit: 1 } },
      { manager: 'a' },
    );
    const after = updated(live, { ...live, spec: { replicas: 2, revisionHistoryLimit: 1 } }, 'b');
    expect(fieldsOf(after, 'a')).toEqual({ 'f:spec': { 'f:revisionHistoryLimit': {} } });
    expect(fieldsOf(after, 'b')).toEqual({ 'f:spec': { 'f:replicas': {} } });
  });

  it('keeps the time of an update that changes nothing', () => {
    const live = applied(undefined, { spec: { replicas: 1 } }, { manager: 'a' });
    const later = {
      schema,
      before: live,
      after: live,
      manager: 'b',
      apiVersion: 'apps/v1',
      now: new Date(0),
    };
    expect(trackUpdate(later)).toEqual(objectAt(live, 'metadata')?.['managedFields']);
  });

  it('clears the fields when it is told to, until somebody applies', () => {
    const live = applied(undefined, { spec: { replicas: 1 } }, { manager: 'a' });
    const cleared = updated(live, { ...live, metadata: { name: 'd', managedFields: [{}] } }, 'b');
    expect(objectAt(cleared, 'metadata')?.['managedFields']).toEqual([]);
    expect(
      objectAt(updated(cleared, { ...cleared, spec: { replicas: 5 } }, 'b'), 'metadata')?.['managedFields'],
    ).toEqual([]);
    expect(apply(cleared, { spec: { replicas: 2 } }, { manager: 'c' })).toMatchObject({
      message:
        'Apply failed with 1 conflict: conflict with "before-first-apply" using apps/v1: .spec.replicas',
    });
  });

  it('folds the oldest of more than ten updating managers into one', () => {
    let live = applied(undefined, { metadata: { name: 'd', labels: { z: '1' } } }, { manager: 'a' });
    for (let index = 0; index < 12; index += 1) {
      const labels = { ...objectAt(objectAt(live, 'metadata'), 'labels'), [`l${index}`]: '1' };
      const after = { ...live, metadata: { ...objectAt(live, 'metadata'), labels } };
      const managedFields = trackUpdate({
        schema,
        before: live,
        after,
        manager: `m${index}`,
        apiVersion: 'apps/v1',
        now: new Date(now.getTime() + index * 1000),
      });
      live = { ...after, metadata: { ...after.metadata, managedFields } };
    }
    const entries = objectAt(live, 'metadata')?.['managedFields'] as JsonObject[]; // as written by us
    expect(entries.filter((entry) => entry['operation'] === 'Update')).toHaveLength(10);
    expect(fieldsOf(live, 'ancient-changes')).toEqual({
      'f:metadata': { 'f:labels': { 'f:l0': {}, 'f:l1': {}, 'f:l2': {} } },
    });
  });
});
