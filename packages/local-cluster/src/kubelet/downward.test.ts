import { describe, expect, it } from '@jest/globals';
import { fieldValue, parseQuantity, resourceValue } from './downward.ts';
import type { Pod } from './pod.ts';

const context = {
  nodeName: 'node-1',
  hostIp: '172.18.0.2',
  podIps: ['10.0.0.2'],
  allocatable: { cpu: 4, memoryBytes: 2 ** 30 },
};
const pod: Pod = {
  metadata: {
    name: 'p',
    namespace: 'n',
    uid: 'u',
    labels: { b: '2', a: 'x"y' },
    annotations: { 'k/l': 'v' },
  },
  spec: {
    serviceAccountName: 'sa',
    containers: [{ name: 'c', resources: { limits: { memory: '64Mi' }, requests: { cpu: '100m' } } }],
  },
};

it.each([
  ['metadata.name', 'p'],
  ['metadata.labels', 'a="x\\"y"\nb="2"'],
  ["metadata.labels['b']", '2'],
  ["metadata.annotations['k/l']", 'v'],
  ["metadata.labels['none']", ''],
  ['spec.nodeName', 'node-1'],
  ['spec.serviceAccountName', 'sa'],
  ['status.podIP', '10.0.0.2'],
  ['status.hostIP', '172.18.0.2'],
])('knows the field %s', (path, value) => {
  expect(fieldValue(pod, path, context)).toBe(value);
});

it('refuses fields that it does not know', () => {
  expect(() => fieldValue(pod, 'spec.containers', context)).toThrow('spec.containers');
});

it.each([
  ['limits.memory', undefined, '67108864'],
  ['limits.memory', '1Mi', '64'],
  ['limits.cpu', undefined, '4'],
  ['requests.cpu', undefined, '1'],
  ['requests.cpu', '1m', '100'],
  ['requests.memory', undefined, '0'],
])('gives %s divided by %s as %s', (resource, divisor, value) => {
  const selector = { resource, ...(divisor === undefined ? {} : { divisor }) };
  expect(resourceValue(pod, pod.spec.containers[0], selector, context)).toBe(value);
});

describe('parseQuantity', () => {
  it.each([
    ['1', 1],
    ['0.5', 0.5],
    ['250m', 0.25],
    ['2Ki', 2048],
    ['1.5Gi', 1.5 * 2 ** 30],
    ['3k', 3000],
    ['1e3', 1000],
    ['12E2', 1200],
  ])('reads %s', (text, value) => {
    expect(parseQuantity(text)).toBeCloseTo(value);
  });
  it.each(['', 'x', '1kk', '1ki', '--1'])('refuses %j', (text) => {
    expect(() => parseQuantity(text)).toThrow();
  });
});
