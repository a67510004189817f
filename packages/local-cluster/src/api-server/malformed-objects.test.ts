import { connect, type ClientHttp2Session } from 'node:http2';
import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { cloneJson, isObject, type JsonObject, type JsonValue } from './object.ts';
import { issue, namespaceObject, TestServer } from './testing/test-server.ts';

/** Objects that are nearly right reach furthest into the server; none may make it fail. */

const RUNS = 300;

const template: JsonObject = {
  metadata: { labels: { a: 'b' } },
  spec: {
    containers: [
      {
        name: 'c',
        image: 'i',
        ports: [{ containerPort: 80 }],
        env: [{ name: 'x', valueFrom: { fieldRef: { fieldPath: 'metadata.name' } } }],
        volumeMounts: [{ name: 'v', mountPath: '/v' }],
      },
    ],
    volumes: [{ name: 'v', configMap: { name: 'c' } }],
  },
};
const valid: readonly (readonly [path: string, apiVersion: string, object: JsonObject])[] = [
  [
    '/api/v1/namespaces/default/pods',
    'v1',
    { ...template, metadata: { generateName: 'p-', finalizers: ['a/b'], annotations: { a: 'b' } } },
  ],
  [
    '/apis/apps/v1/namespaces/default/deployments',
    'apps/v1',
    { metadata: { generateName: 'd-' }, spec: { selector: { matchLabels: { a: 'b' } }, template } },
  ],
  [
    '/api/v1/namespaces/default/services',
    'v1',
    { metadata: { generateName: 's-' }, spec: { type: 'NodePort', ports: [{ port: 80, targetPort: 'x' }] } },
  ],
  [
    '/apis/apiextensions.k8s.io/v1/customresourcedefinitions',
    'apiextensions.k8s.io/v1',
    {
      metadata: { name: 'as.b.c' },
      spec: {
        group: 'b.c',
        names: { plural: 'as', kind: 'A' },
        scope: 'Namespaced',
        versions: [
          {
            name: 'v1',
            served: true,
            storage: true,
            subresources: { status: {} },
            schema: {
              openAPIV3Schema: {
                type: 'object',
                properties: { spec: { type: 'string', default: 'x', enum: ['x'] } },
              },
            },
          },
        ],
      },
    },
  ],
  [
    '/apis/authorization.k8s.io/v1/subjectaccessreviews',
    'authorization.k8s.io/v1',
    {
      spec: {
        user: 'a',
        groups: ['b'],
        extra: { a: ['b'] },
        resourceAttributes: { verb: 'get', resource: 'pods' },
      },
    },
  ],
];

const junk: readonly JsonValue[] = [
  null,
  0,
  -1,
  1.5,
  1e30,
  '',
  'x',
  '__proto__',
  true,
  [],
  {},
  ['x'],
  [null],
  { a: 1 },
  { metadata: null },
];

let cluster: TestServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  cluster = await TestServer.start();
  await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('default') });
  await cluster.ok('POST', '/api/v1/namespaces/default/serviceaccounts', {
    body: { metadata: { name: 'default' } },
  });
  const admin = await issue(cluster.authority, 'admin', ['system:masters']);
  session = connect(`https://127.0.0.1:${cluster.port}`, { ca: cluster.authority.rootsPem, ...admin });
});
afterAll(async () => {
  session.close();
  await cluster.stop();
});

function send(
  method: string,
  path: string,
  contentType: string,
  body: JsonValue,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const stream = session.request({ ':method': method, ':path': path, 'content-type': contentType });
    let status = 0;
    let text = '';
    stream.on('response', (headers) => (status = headers[':status'] ?? 0));
    stream.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    stream.on('end', () => resolve({ status, text }));
    stream.on('error', reject);
    stream.end(JSON.stringify(body));
  });
}

/** The object with one value replaced, or removed. */
function damaged(object: JsonObject, at: number, by: JsonValue | undefined): JsonObject {
  const copy = cloneJson(object);
  const places: (readonly [parent: JsonObject | JsonValue[], key: string])[] = [];
  const visit = (value: JsonValue): void => {
    if (!isObject(value) && !Array.isArray(value)) return;
    for (const [key, member] of Object.entries(value)) {
      places.push([value, key]);
      visit(member);
    }
  };
  visit(copy);
  const [parent, key] = places[at % places.length] ?? [copy, 'spec'];
  if (Array.isArray(parent)) parent.splice(Number(key), 1, ...(by === undefined ? [] : [by]));
  else if (by === undefined) delete parent[key];
  else parent[key] = by;
  return copy;
}

it('answers objects with a wrong value somewhere, created or applied, without failing itself', async () => {
  const cases = fc.record({
    target: fc.constantFrom(...valid),
    first: fc.record({ at: fc.nat(100), by: fc.constantFrom(undefined, ...junk) }),
    second: fc.record({ at: fc.nat(100), by: fc.constantFrom(undefined, ...junk) }),
    apply: fc.boolean(),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ target: [path, apiVersion, object], first, second, apply }) => {
      const body = damaged(damaged(object, first.at, first.by), second.at, second.by);
      const answer = apply
        ? await send('PATCH', `${path}/applied?fieldManager=f`, 'application/apply-patch+yaml', {
            kind: 'X',
            ...body,
            apiVersion,
          })
        : await send('POST', path, 'application/json', body);
      expect(answer).toEqual({ status: expect.any(Number), text: expect.any(String) });
      expect(answer.status < 500 ? '' : answer.text).toBe('');
    }),
    { numRuns: RUNS },
  );
});
