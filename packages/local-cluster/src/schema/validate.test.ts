import { describe, expect, it } from '@jest/globals';
import { typeFromCrd } from './crd-schema.ts';
import { applyDefaults } from './defaults.ts';
import { invalidMessage } from './field-errors.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { TypeRegistry } from './registry.ts';
import { validate } from './validate.ts';

const registry = TypeRegistry.load();
const gvk = { group: 'example.com', version: 'v1', kind: 'Widget' };

/** The errors of `spec: { a: value }` when `a` has the schema. */
function errorsOf(schema: JsonObject, value: JsonValue, oldValue?: JsonValue): string[] {
  const type = typeFromCrd(registry, {
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: { spec: { type: 'object', properties: { a: schema } } },
      },
    },
  });
  const object = (a: JsonValue): JsonObject => ({ metadata: { name: 'w' }, spec: { a } });
  const old = oldValue === undefined ? undefined : object(oldValue);
  return validate(type, gvk, object(value), old).map(({ path, message }) => `${path}: ${message}`);
}

const named = {
  type: 'object',
  required: ['name'],
  properties: { name: { type: 'string' }, n: { type: 'integer' } },
};

describe('structural validation', () => {
  it.each<[string, JsonObject, JsonValue, string[]]>([
    [
      'type',
      { type: 'integer' },
      'x',
      ['spec.a: Invalid value: "string": spec.a in body must be of type integer: "string"'],
    ],
    [
      'null',
      { type: 'string' },
      null,
      ['spec.a: Invalid value: "null": spec.a in body must be of type string: "null"'],
    ],
    ['nullable', { type: 'string', nullable: true }, null, []],
    ['int-or-string', { 'x-kubernetes-int-or-string': true }, '5%', []],
    [
      'enum',
      { type: 'string', enum: ['x', 'y'] },
      'z',
      ['spec.a: Unsupported value: "z": supported values: "x", "y"'],
    ],
    [
      'pattern',
      { type: 'string', pattern: '^(?i)a+$' },
      'b',
      ['spec.a: Invalid value: "b": spec.a in body should match \'^(?i)a+$\''],
    ],
    ['RE2 pattern', { type: 'string', pattern: '^(?i)a+$' }, 'AA', []],
    [
      'minimum',
      { type: 'integer', minimum: 1 },
      0,
      ['spec.a: Invalid value: 0: spec.a in body should be greater than or equal to 1'],
    ],
    [
      'exclusiveMaximum',
      { type: 'number', maximum: 1, exclusiveMaximum: true },
      1,
      ['spec.a: Invalid value: 1: spec.a in body should be less than 1'],
    ],
    [
      'multipleOf',
      { type: 'integer', multipleOf: 2 },
      3,
      ['spec.a: Invalid value: 3: spec.a in body should be a multiple of 2'],
    ],
    [
      'int32',
      { type: 'integer', format: 'int32' },
      2 ** 31,
      ['spec.a: Invalid value: "2147483648": spec.a in body must be of type int32: "2147483648"'],
    ],
    [
      'minLength',
      { type: 'string', minLength: 1 },
      '',
      ['spec.a: Invalid value: "": spec.a in body should be at least 1 chars long'],
    ],
    ['maxLength', { type: 'string', maxLength: 1 }, 'éé', ['spec.a: Too long: may not be more than 1 bytes']],
    [
      'maxItems',
      { type: 'array', maxItems: 1, items: { type: 'string' } },
      ['a', 'b'],
      ['spec.a: Too many: 2: must have at most 1 items'],
    ],
    [
      'minItems',
      { type: 'array', minItems: 1, items: { type: 'string' } },
      [],
      ['spec.a: Invalid value: 0: spec.a in body should have at least 1 items'],
    ],
    ['required', named, {}, ['spec.a.name: Required value']],
    [
      'maxProperties',
      { type: 'object', maxProperties: 1, additionalProperties: { type: 'string' } },
      { a: 'b', c: 'd' },
      ['spec.a: Too many: 2: must have at most 1 items'],
    ],
    [
      'additionalProperties',
      { type: 'object', additionalProperties: { type: 'string' } },
      { k: 1 },
      ['spec.a.k: Invalid value: "integer": spec.a.k in body must be of type string: "integer"'],
    ],
    [
      'set',
      { type: 'array', 'x-kubernetes-list-type': 'set', items: { type: 'string' } },
      ['a', 'a'],
      ['spec.a[1]: Duplicate value: "a"'],
    ],
    [
      'map',
      {
        type: 'array',
        'x-kubernetes-list-type': 'map',
        'x-kubernetes-list-map-keys': ['name'],
        items: named,
      },
      [{ name: 'a' }, { name: 'a' }],
      ['spec.a[1]: Duplicate value: {"name":"a"}'],
    ],
    [
      'date-time',
      { type: 'string', format: 'date-time' },
      'today',
      ['spec.a: Invalid value: "today": spec.a in body must be of type date-time: "today"'],
    ],
    [
      'ipv4',
      { type: 'string', format: 'ipv4' },
      '::1',
      ['spec.a: Invalid value: "::1": spec.a in body must be of type ipv4: "::1"'],
    ],
    ['unknown format', { type: 'string', format: 'moon-phase' }, 'x', []],
    [
      'not',
      { type: 'string', not: { enum: ['x'] } },
      'x',
      ['spec.a: Invalid value: "": "spec.a" must not validate the schema (not)'],
    ],
    [
      'anyOf',
      { type: 'integer', anyOf: [{ enum: [1] }, { minimum: 5 }] },
      3,
      [
        'spec.a: Invalid value: "": "spec.a" must validate at least one schema (anyOf)',
        'spec.a: Unsupported value: 3: supported values: "1"',
      ],
    ],
    [
      'oneOf',
      {
        type: 'object',
        properties: { x: { type: 'string' }, y: { type: 'string' } },
        oneOf: [{ required: ['x'] }, { required: ['y'] }],
      },
      { x: '', y: '' },
      ['spec.a: Invalid value: "": "spec.a" must validate one and only one schema (oneOf). Found 2 valid'],
    ],
  ])('checks %s', (_keyword, schema, value, errors) => {
    expect(errorsOf(schema, value)).toEqual(errors);
  });

  it('leaves parts alone that did not change', () => {
    const list = {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: named,
    };
    const strict = {
      ...list,
      items: { ...named, properties: { name: { type: 'string' }, n: { type: 'integer', minimum: 5 } } },
    };
    const old = [{ name: 'a', n: 1 }];
    expect(
      errorsOf(
        strict,
        [
          { name: 'a', n: 1 },
          { name: 'b', n: 1 },
        ],
        old,
      ),
    ).toEqual(['spec.a[1].n: Invalid value: 1: spec.a[1].n in body should be greater than or equal to 5']);
  });

  it('words the whole refusal as Kubernetes does', () => {
    const one = { path: 'spec.a', reason: 'FieldValueRequired', message: 'Required value' } as const;
    expect(invalidMessage(gvk, 'w', [one])).toBe('Widget.example.com "w" is invalid: spec.a: Required value');
    expect(invalidMessage(gvk, 'w', [one, { ...one, path: 'spec.b' }])).toBe(
      'Widget.example.com "w" is invalid: [spec.a: Required value, spec.b: Required value]',
    );
  });
});

describe('CEL rules', () => {
  const withRules = (schema: JsonObject, ...rules: readonly JsonObject[]): JsonObject => ({
    ...schema,
    'x-kubernetes-validations': [...rules],
  });
  const object = {
    type: 'object',
    properties: {
      'my-field': { type: 'integer' },
      namespace: { type: 'string' },
      at: { type: 'string', format: 'date-time' },
    },
  };

  it.each<[string, JsonObject, JsonValue, string[]]>([
    [
      'a message',
      withRules(object, { rule: 'false', message: 'no way' }),
      {},
      ['spec.a: Invalid value: "object": no way'],
    ],
    [
      'a computed message',
      withRules(object, { rule: 'false', messageExpression: "'no ' + self.__namespace__" }),
      { namespace: 'x' },
      ['spec.a: Invalid value: "object": no x'],
    ],
    [
      'no message',
      withRules(object, { rule: 'false' }),
      {},
      ['spec.a: Invalid value: "object": failed rule: false'],
    ],
    [
      'a field path and a reason',
      withRules(object, {
        rule: 'false',
        message: 'give it',
        fieldPath: '.my-field',
        reason: 'FieldValueRequired',
      }),
      {},
      ['spec.a.my-field: Required value: give it'],
    ],
    [
      'escaped names and integers',
      withRules(object, { rule: "self.my__dash__field == 3 && self.__namespace__ == 'x'" }),
      { 'my-field': 3, namespace: 'x' },
      [],
    ],
    [
      'timestamps',
      withRules(object, { rule: "self.at < timestamp('2030-01-01T00:00:00Z')" }),
      { at: '2029-01-01T00:00:00Z' },
      [],
    ],
    [
      'a failing evaluation',
      withRules(object, { rule: 'self.my__dash__field > 1', message: 'm' }),
      {},
      [
        'spec.a: Invalid value: "object": rule evaluation error: no such key: my__dash__field evaluating rule: m',
      ],
    ],
    [
      'map keys',
      {
        type: 'object',
        additionalProperties: withRules({ type: 'integer' }, { rule: 'self > 1', message: 'm' }),
      },
      { 'a.b': 1 },
      ['spec.a[a.b]: Invalid value: "integer": m'],
    ],
    [
      'int-or-string',
      withRules(
        { 'x-kubernetes-int-or-string': true },
        { rule: "type(self) == int ? self > 0 : self.endsWith('%')" },
      ),
      '5%',
      [],
    ],
  ])('handle %s', (_what, schema, value, errors) => {
    expect(errorsOf(schema, value)).toEqual(errors);
  });

  it('about oldSelf run on updates only, and follow keyed items', () => {
    const item = withRules(named, { rule: 'self.n == oldSelf.n', message: 'n is immutable' });
    const list = {
      type: 'array',
      'x-kubernetes-list-type': 'map',
      'x-kubernetes-list-map-keys': ['name'],
      items: item,
    };
    expect(errorsOf(list, [{ name: 'a', n: 1 }])).toEqual([]);
    expect(
      errorsOf(
        list,
        [
          { name: 'b', n: 2 },
          { name: 'a', n: 2 },
        ],
        [{ name: 'a', n: 1 }],
      ),
    ).toEqual(['spec.a[1]: Invalid value: "object": n is immutable']);
  });

  it('with an optional oldSelf run on creation too', () => {
    const rule = {
      rule: '!oldSelf.hasValue() || oldSelf.value() == self',
      message: 'immutable',
      optionalOldSelf: true,
    };
    expect(errorsOf(withRules({ type: 'integer' }, rule), 1)).toEqual([]);
    expect(errorsOf(withRules({ type: 'integer' }, rule), 1, 2)).toEqual([
      'spec.a: Invalid value: "integer": immutable',
    ]);
  });

  it('are not evaluated on an object whose structure is wrong', () => {
    const [first, second] = errorsOf(withRules(object, { rule: 'false' }), { 'my-field': 'x' });
    expect(first).toContain('must be of type integer');
    expect(second).toContain('some validation rules were not checked');
  });
});

describe('built-in kinds', () => {
  function errors(group: string, kind: string, object: JsonObject): string[] {
    const type = { group, version: 'v1', kind };
    const schema = registry.typeOf(group, 'v1', kind);
    if (schema === undefined) throw new Error(`no type ${kind}`);
    applyDefaults(schema, type, object);
    return validate(schema, type, object).map(({ path, message }) => `${path}: ${message}`);
  }
  const pod = (spec: JsonObject): JsonObject => ({ metadata: { name: 'p' }, spec });

  it('accept what is right', () => {
    expect(errors('', 'Pod', pod({ containers: [{ name: 'c', image: 'x' }] }))).toEqual([]);
    expect(
      errors('', 'Service', { metadata: { name: 's' }, spec: { ports: [{ port: 80, targetPort: 'http' }] } }),
    ).toEqual([]);
    expect(
      errors('rbac.authorization.k8s.io', 'ClusterRole', { metadata: { name: 'system:node' }, rules: [] }),
    ).toEqual([]);
  });

  it.each<[string, string, string, JsonObject, string]>([
    [
      'a bad name',
      '',
      'ConfigMap',
      { metadata: { name: 'Bad_Name' } },
      'metadata.name: Invalid value: "Bad_Name": a lowercase RFC 1123 subdomain must consist of',
    ],
    [
      'a Service name that starts with a digit',
      '',
      'Service',
      { metadata: { name: '1s' }, spec: { ports: [{ port: 1 }] } },
      'metadata.name: Invalid value: "1s": a DNS-1035 label must consist of',
    ],
    [
      'a bad label',
      '',
      'ConfigMap',
      { metadata: { name: 'c', labels: { 'a b': 'c' } } },
      'metadata.labels: Invalid value: "a b": name part must consist of',
    ],
    ['no containers', '', 'Pod', pod({ containers: [] }), 'spec.containers: Required value'],
    [
      'a mount without its volume',
      '',
      'Pod',
      pod({ containers: [{ name: 'c', image: 'x', volumeMounts: [{ name: 'v', mountPath: '/v' }] }] }),
      'spec.containers[0].volumeMounts[0].name: Not found: "v"',
    ],
    [
      'a port out of range',
      '',
      'Pod',
      pod({ containers: [{ name: 'c', image: 'x', ports: [{ containerPort: 70_000 }] }] }),
      'spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive',
    ],
    [
      'a wrong type',
      'apps',
      'Deployment',
      { metadata: { name: 'd' }, spec: { replicas: 'x' } },
      'spec.replicas: Invalid value: "string": spec.replicas in body must be of type integer: "string"',
    ],
    [
      'a selector that misses its template',
      'apps',
      'Deployment',
      {
        metadata: { name: 'd' },
        spec: {
          selector: { matchLabels: { a: 'b' } },
          template: { metadata: { labels: { a: 'c' } }, spec: { containers: [{ name: 'c', image: 'x' }] } },
        },
      },
      'spec.template.metadata.labels: Invalid value: {"a":"c"}: `selector` does not match template `labels`',
    ],
    [
      'unnamed ports',
      '',
      'Service',
      { metadata: { name: 's' }, spec: { ports: [{ port: 1 }, { port: 2, name: 'b' }] } },
      'spec.ports[0].name: Required value',
    ],
  ])('refuse %s', (_what, group, kind, object, message) => {
    expect(errors(group, kind, object).join('\n')).toContain(message);
  });

  it('do not check the spec again when only the status changes', () => {
    const schema = registry.typeOf('', 'v1', 'Pod');
    if (schema === undefined) throw new Error('no type Pod');
    const type = { group: '', version: 'v1', kind: 'Pod' };
    const old = pod({ containers: [] });
    expect(validate(schema, type, { ...old, status: { phase: 'Running' } }, old)).toEqual([]);
  });
});
