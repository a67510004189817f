import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { JsonObject } from '../object.ts';
import { configMap, namespaceObject, TestServer } from '../testing/test-server.ts';

const configMaps = '/api/v1/namespaces/default/configmaps';
const group = '/apis/admissionregistration.k8s.io/v1';

let cluster: TestServer;
beforeAll(async () => {
  cluster = await TestServer.start();
  await cluster.ok('POST', '/api/v1/namespaces', { body: namespaceObject('default') });
  await cluster.ok('POST', `${group}/validatingadmissionpolicies`, { body: policy });
});
afterAll(() => cluster.stop());

const policy: JsonObject = {
  metadata: { name: 'limits' },
  spec: {
    failurePolicy: 'Fail',
    matchConstraints: {
      resourceRules: [
        { operations: ['CREATE', 'UPDATE'], apiGroups: [''], apiVersions: ['v1'], resources: ['configmaps'] },
      ],
    },
    matchConditions: [{ name: 'only-limited', expression: "object.metadata.name.startsWith('limited')" }],
    variables: [{ name: 'size', expression: 'has(object.data) ? size(object.data) : 0' }],
    validations: [
      { expression: 'variables.size <= 1', messageExpression: "'too many keys: ' + string(variables.size)" },
      {
        expression: "oldObject == null || request.userInfo.username == 'nobody'",
        message: 'never changes',
        reason: 'Forbidden',
      },
    ],
  },
};

async function bind(validationActions: string[]): Promise<void> {
  await cluster.ok('DELETE', `${group}/validatingadmissionpolicybindings`);
  const body = { metadata: { name: 'b' }, spec: { policyName: 'limits', validationActions } };
  await cluster.ok('POST', `${group}/validatingadmissionpolicybindings`, { body });
}

describe('validating admission policies', () => {
  it('do nothing without a binding', async () => {
    expect(
      (await cluster.call('POST', configMaps, { body: configMap('limited-0', { a: '', b: '' }) })).status,
    ).toBe(201);
  });

  it('refuse what an expression does not allow', async () => {
    await bind(['Deny']);
    const { status, body } = await cluster.call('POST', configMaps, {
      body: configMap('limited-1', { a: '', b: '' }),
    });
    expect(status).toBe(422);
    expect(body['message']).toBe(
      `configmaps "limited-1" is forbidden: ValidatingAdmissionPolicy 'limits' with binding 'b' denied request: too many keys: 2`,
    );
    expect((await cluster.call('POST', configMaps, { body: configMap('limited-1', { a: '' }) })).status).toBe(
      201,
    );
    const merge = 'application/merge-patch+json';
    const change = await cluster.call('PATCH', `${configMaps}/limited-1`, {
      contentType: merge,
      body: { data: { a: 'x' } },
    });
    expect(change.status).toBe(403);
    expect(change.text).toContain('never changes');
  });

  it('leave objects alone for which a match condition is false', async () => {
    await bind(['Deny']);
    expect(
      (await cluster.call('POST', configMaps, { body: configMap('free', { a: '', b: '' }) })).status,
    ).toBe(201);
  });

  it('only warn when the binding says so', async () => {
    await bind(['Warn']);
    const { status, headers } = await cluster.call('POST', configMaps, {
      body: configMap('limited-2', { a: '', b: '' }),
    });
    expect(status).toBe(201);
    expect(String(headers['warning'])).toContain('too many keys: 2');
  });
});
