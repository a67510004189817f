import { describe, expect, it } from '@jest/globals';
import type { Service } from '@weft/kubernetes';
import {
  buildEnvironment,
  expandVariables,
  serviceEnvironment,
  type EnvironmentSources,
} from './environment.ts';

const sources: EnvironmentSources = {
  image: { FROM_IMAGE: 'image', SHADOWED: 'image' },
  services: { WEB_SERVICE_HOST: '10.96.0.5' },
  configMap: (name) =>
    Promise.resolve(name === 'settings' ? { LEVEL: 'debug', 'not=valid': 'x' } : undefined),
  secret: (name) => Promise.resolve(name === 'login' ? { password: 'p$(LEVEL)' } : undefined),
  field: (path) => `field ${path}`,
  resource: ({ resource }) => `resource ${resource}`,
};

describe('expandVariables', () => {
  it.each([
    ['$(A)', '1'],
    ['x-$(A)-$(B)', 'x-1-two'],
    ['$(UNKNOWN)', '$(UNKNOWN)'],
    ['$$(A)', '$(A)'],
    ['$$$$(A)', '$$(A)'],
    ['$A ${A} $', '$A ${A} $'],
    ['$(EMPTY)', ''],
  ])('turns %s into %s', (text, expected) => {
    expect(expandVariables(text, { A: '1', B: 'two', EMPTY: '' })).toBe(expected);
  });
});

describe('buildEnvironment', () => {
  it('lets a variable use only what is defined before it', async () => {
    const env = [
      { name: 'FIRST', value: '$(SECOND)' },
      { name: 'SECOND', value: 'two' },
      { name: 'THIRD', value: '$(SECOND)!' },
    ];
    const built = await buildEnvironment({ env }, 'pod', sources);
    expect(built).toMatchObject({ FIRST: '$(SECOND)', SECOND: 'two', THIRD: 'two!', HOSTNAME: 'pod' });
  });

  it('puts env over envFrom, and that over services and the image', async () => {
    const built = await buildEnvironment(
      {
        envFrom: [{ configMapRef: { name: 'settings' }, prefix: 'P_' }],
        env: [{ name: 'SHADOWED', value: 'pod' }],
      },
      'pod',
      sources,
    );
    expect(built).toMatchObject({
      FROM_IMAGE: 'image',
      SHADOWED: 'pod',
      P_LEVEL: 'debug',
      WEB_SERVICE_HOST: '10.96.0.5',
    });
    expect(Object.keys(built)).not.toContain('P_not=valid');
  });

  it('reads keys, fields and resources, and takes secrets literally', async () => {
    const env = [
      { name: 'SECRET', valueFrom: { secretKeyRef: { name: 'login', key: 'password' } } },
      { name: 'FIELD', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
      { name: 'CPU', valueFrom: { resourceFieldRef: { resource: 'limits.cpu' } } },
      { name: 'ABSENT', valueFrom: { configMapKeyRef: { name: 'none', key: 'x', optional: true } } },
    ];
    const built = await buildEnvironment({ env }, 'pod', sources);
    expect(built).toMatchObject({
      SECRET: 'p$(LEVEL)',
      FIELD: 'field status.podIP',
      CPU: 'resource limits.cpu',
    });
    expect(built).not.toHaveProperty('ABSENT');
  });

  it('names the object that is missing', async () => {
    const missingMap = buildEnvironment({ envFrom: [{ configMapRef: { name: 'none' } }] }, 'pod', sources);
    await expect(missingMap).rejects.toMatchObject({
      code: 'WEFT2064',
      message: 'configmap "none" not found',
    });
    const env = [{ name: 'X', valueFrom: { secretKeyRef: { name: 'login', key: 'user' } } }];
    await expect(buildEnvironment({ env }, 'pod', sources)).rejects.toMatchObject({ code: 'WEFT2064' });
  });
});

describe('serviceEnvironment', () => {
  const service = (namespace: string, name: string, clusterIP: string): Service => ({
    metadata: { namespace, name },
    spec: {
      clusterIP,
      ports: [
        { name: 'http-web', port: 80 },
        { port: 53, protocol: 'UDP' },
      ],
    },
  });
  const services = [
    service('default', 'kubernetes', '10.96.0.1'),
    service('shop', 'my-web', '10.96.0.7'),
    service('shop', 'headless', 'None'),
    service('other', 'far', '10.96.0.9'),
  ];

  it('announces the services of the namespace and the Kubernetes API', () => {
    const variables = serviceEnvironment(services, 'shop', true);
    expect(variables).toMatchObject({
      KUBERNETES_SERVICE_HOST: '10.96.0.1',
      MY_WEB_SERVICE_HOST: '10.96.0.7',
      MY_WEB_SERVICE_PORT_HTTP_WEB: '80',
      MY_WEB_PORT: 'tcp://10.96.0.7:80',
      MY_WEB_PORT_53_UDP: 'udp://10.96.0.7:53',
    });
    expect(Object.keys(variables).filter((name) => /HEADLESS|FAR/.test(name))).toEqual([]);
  });

  it('announces only the Kubernetes API without service links', () => {
    expect(
      Object.keys(serviceEnvironment(services, 'shop', false)).every((name) =>
        name.startsWith('KUBERNETES_'),
      ),
    ).toBe(true);
  });
});
