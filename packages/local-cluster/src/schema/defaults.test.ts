import { describe, expect, it } from '@jest/globals';
import { typeFromCrd } from './crd-schema.ts';
import { applyDefaults } from './defaults.ts';
import { cloneJson, type JsonObject } from './json.ts';
import { TypeRegistry } from './registry.ts';

const registry = TypeRegistry.load();

function defaulted(group: string, kind: string, object: JsonObject): JsonObject {
  const schema = registry.typeOf(group, 'v1', kind);
  if (schema === undefined) throw new Error(`no type ${kind}`);
  const copy = cloneJson(object);
  applyDefaults(schema, { group, version: 'v1', kind }, copy);
  const again = cloneJson(copy);
  applyDefaults(schema, { group, version: 'v1', kind }, again);
  expect(again).toEqual(copy);
  return copy;
}

const template = { metadata: { labels: { a: 'b' } }, spec: { containers: [{ name: 'c', image: 'x:1' }] } };

describe('defaults of built-in kinds', () => {
  it('complete a Deployment and its pod template', () => {
    const { spec } = defaulted('apps', 'Deployment', { spec: { template } });
    expect(spec).toMatchObject({
      replicas: 1,
      revisionHistoryLimit: 10,
      progressDeadlineSeconds: 600,
      strategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: '25%', maxUnavailable: '25%' } },
      template: {
        spec: {
          restartPolicy: 'Always',
          dnsPolicy: 'ClusterFirst',
          securityContext: {},
          terminationGracePeriodSeconds: 30,
          containers: [{ imagePullPolicy: 'IfNotPresent', terminationMessagePath: '/dev/termination-log' }],
        },
      },
    });
  });

  it('give a DaemonSet the update strategy that kubectl rollout insists on', () => {
    expect(defaulted('apps', 'DaemonSet', { spec: { template } })['spec']).toMatchObject({
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1, maxSurge: 0 } },
    });
  });

  it('leave explicit zeros of pointer fields alone', () => {
    expect(defaulted('apps', 'Deployment', { spec: { replicas: 0, template } })['spec']).toMatchObject({
      replicas: 0,
    });
  });

  it('fill in a Pod as its author meant it', () => {
    const { spec } = defaulted('', 'Pod', {
      spec: {
        hostNetwork: true,
        serviceAccountName: 'sa',
        volumes: [{ name: 'e' }, { name: 'n', emptyDir: null }, { name: 's', secret: { secretName: 's' } }],
        containers: [
          {
            name: 'c',
            image: 'app',
            ports: [{ containerPort: 80 }],
            resources: { limits: { cpu: '1' } },
            env: [{ name: 'IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } }],
            readinessProbe: { httpGet: { port: 80 } },
          },
        ],
      },
    });
    expect(spec).toMatchObject({
      enableServiceLinks: true,
      serviceAccount: 'sa',
      volumes: [{ emptyDir: {} }, { emptyDir: {} }, { secret: { defaultMode: 0o644 } }],
      containers: [
        {
          imagePullPolicy: 'Always',
          ports: [{ containerPort: 80, hostPort: 80, protocol: 'TCP' }],
          resources: { limits: { cpu: '1' }, requests: { cpu: '1' } },
          env: [{ valueFrom: { fieldRef: { apiVersion: 'v1' } } }],
          readinessProbe: {
            httpGet: { path: '/', scheme: 'HTTP' },
            periodSeconds: 10,
            timeoutSeconds: 1,
            failureThreshold: 3,
          },
        },
      ],
    });
  });

  it('complete Services, Secrets, Namespaces and webhooks', () => {
    expect(defaulted('', 'Service', { spec: { ports: [{ port: 80 }] } })['spec']).toEqual({
      type: 'ClusterIP',
      sessionAffinity: 'None',
      internalTrafficPolicy: 'Cluster',
      ports: [{ port: 80, protocol: 'TCP', targetPort: 80 }],
    });
    expect(defaulted('', 'Secret', { stringData: { a: 'b' } })).toEqual({
      type: 'Opaque',
      data: { a: 'Yg==' },
    });
    expect(defaulted('', 'Namespace', { metadata: { name: 'n' } })).toEqual({
      metadata: { name: 'n', labels: { 'kubernetes.io/metadata.name': 'n' } },
      spec: { finalizers: ['kubernetes'] },
      status: { phase: 'Active' },
    });
    const webhooks = [{ clientConfig: { service: { name: 's' } }, rules: [{}] }];
    expect(
      defaulted('admissionregistration.k8s.io', 'ValidatingWebhookConfiguration', { webhooks })['webhooks'],
    ).toMatchObject([
      {
        failurePolicy: 'Fail',
        matchPolicy: 'Equivalent',
        timeoutSeconds: 10,
        rules: [{ scope: '*' }],
        clientConfig: { service: { port: 443 } },
      },
    ]);
  });

  it('do not give back the finalizer of a namespace that is being deleted', () => {
    const object = { metadata: { name: 'n', deletionTimestamp: '2024-01-01T00:00:00Z' }, spec: {} };
    expect(defaulted('', 'Namespace', object)['spec']).toEqual({});
  });

  it('give a Job its selector once it has a uid', () => {
    const { spec } = defaulted('batch', 'Job', { metadata: { name: 'j', uid: 'u' }, spec: { template } });
    expect(spec).toMatchObject({
      backoffLimit: 6,
      completions: 1,
      parallelism: 1,
      selector: { matchLabels: { 'batch.kubernetes.io/controller-uid': 'u' } },
      template: { metadata: { labels: { a: 'b', 'job-name': 'j', 'controller-uid': 'u' } } },
    });
  });
});

describe('defaults of custom kinds', () => {
  const gvk = { group: 'example.com', version: 'v1', kind: 'W' };
  const schema = typeFromCrd(registry, {
    schema: {
      openAPIV3Schema: {
        type: 'object',
        properties: {
          spec: {
            type: 'object',
            default: {},
            properties: {
              mode: { type: 'string', default: 'x' },
              keep: { type: 'string', nullable: true, default: 'x' },
              gone: { type: 'string' },
              list: {
                type: 'array',
                items: { type: 'object', properties: { n: { type: 'integer', default: 3 } } },
              },
              map: { type: 'object', additionalProperties: { type: 'integer', default: 7 } },
            },
          },
        },
      },
    },
  });

  it('nest, and take a forbidden null as absent', () => {
    const object: JsonObject = {};
    applyDefaults(schema, gvk, object);
    expect(object).toEqual({ spec: { mode: 'x', keep: 'x' } });
    const other: JsonObject = {
      spec: { mode: null, keep: null, gone: null, list: [{}, { n: 1 }], map: { a: null } },
    };
    applyDefaults(schema, gvk, other);
    expect(other).toEqual({ spec: { mode: 'x', keep: null, list: [{ n: 3 }, { n: 1 }], map: { a: 7 } } });
  });

  it('are copied, so that objects share nothing with the schema', () => {
    const first: JsonObject = {};
    applyDefaults(schema, gvk, first);
    first['spec'] = Object.assign(first['spec'] as JsonObject, { mode: 'changed' }); // defaulted above
    const second: JsonObject = {};
    applyDefaults(schema, gvk, second);
    expect(second).toEqual({ spec: { mode: 'x', keep: 'x' } });
  });
});
