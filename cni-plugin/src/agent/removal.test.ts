import { describe, expect, it } from '@jest/globals';
import type { Node, PodController } from '@weft/kubernetes';
import { decideRemoval, wantsNode, type OwnDaemonSet } from './removal.ts';

const affine = (...terms: readonly object[]) => ({
  affinity: {
    nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
  },
});
const term = (key: string, operator: string, ...values: string[]) => ({
  matchExpressions: [{ key, operator, values }],
});
const daemonSet = (o: { deleted?: boolean; os?: string } = {}): PodController => ({
  metadata: { name: 'istio-cni-node', ...(o.deleted ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}) },
  spec: {
    template: {
      spec: { containers: [], ...(o.os === undefined ? {} : affine(term('os', 'In', o.os))) },
    },
  },
});
const node: Node = { metadata: { name: 'n1', labels: { os: 'linux', size: '4' } } };
const answer = (object: PodController | undefined) => ({ kind: 'answer', object }) as const;
const silence = { kind: 'no-answer' } as const;
const present = (object: PodController): OwnDaemonSet => ({ kind: 'present', object });

describe('an agent that ends', () => {
  it.each([
    ['is upgraded when its DaemonSet is there', answer(daemonSet()), present(daemonSet()), false],
    ['is removed when its DaemonSet is not', answer(undefined), present(daemonSet()), true],
    [
      'is removed when its DaemonSet is being deleted',
      answer(daemonSet({ deleted: true })),
      present(daemonSet()),
      true,
    ],
    [
      'is removed when its DaemonSet leaves the node',
      answer(daemonSet({ os: 'other' })),
      present(daemonSet()),
      true,
    ],
    ['that may not ask is removed if it saw the deletion', silence, { kind: 'gone' }, true],
    [
      'that may not ask is removed if it saw the deletion begin',
      silence,
      present(daemonSet({ deleted: true })),
      true,
    ],
    ['that may not ask stays if it saw none', silence, present(daemonSet()), false],
    ['that never knew its DaemonSet stays', silence, { kind: 'unknown' }, false],
  ] as const)('%s', (_what, asked, seen, removed) => {
    expect(decideRemoval(asked, seen, node)).toBe(removed);
  });

  it('stays on a node that it can not look at', () => {
    expect(decideRemoval(answer(daemonSet({ os: 'other' })), { kind: 'unknown' }, undefined)).toBe(false);
  });
});

describe('a placement', () => {
  it.each([
    ['nothing', {}, true],
    ['one of', affine(term('os', 'In', 'a', 'linux')), true],
    ['none of', affine(term('os', 'NotIn', 'linux')), false],
    ['none of, without the label', affine(term('zone', 'NotIn', 'x')), true],
    ['existence', affine(term('os', 'Exists')), true],
    ['absence', affine(term('os', 'DoesNotExist')), false],
    ['more than', affine(term('size', 'Gt', '3')), true],
    ['less than', affine(term('size', 'Lt', '3')), false],
    ['any term', affine(term('os', 'DoesNotExist'), term('os', 'Exists')), true],
    ['an empty term', affine({}), false],
    ['its name', affine({ matchFields: [{ key: 'metadata.name', operator: 'In', values: ['n1'] }] }), true],
    ['an unknown operator', affine(term('os', 'Like', 'l')), false],
  ])('that asks for %s', (_what, placement, wanted) => {
    expect(wantsNode(placement, node)).toBe(wanted);
  });
});
