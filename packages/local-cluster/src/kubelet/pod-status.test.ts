import { describe, expect, it } from '@jest/globals';
import type { ContainerKind } from './pod-plan.ts';
import { podPhase, podStatus, type PodObservation } from './pod-status.ts';
import type { ContainerState, ContainerStatus, Pod } from './pod.ts';

const exit = (exitCode: number): ContainerState => ({ terminated: { exitCode, reason: 'x' } });
const states: Readonly<Record<string, Pick<ContainerStatus, 'state' | 'lastState' | 'ready' | 'started'>>> = {
  waiting: { state: { waiting: { reason: 'PodInitializing' } }, lastState: {}, ready: false, started: false },
  running: { state: { running: { startedAt: 'now' } }, lastState: {}, ready: true, started: true },
  unready: { state: { running: { startedAt: 'now' } }, lastState: {}, ready: false, started: true },
  ok: { state: exit(0), lastState: {}, ready: false, started: false },
  failed: { state: exit(1), lastState: {}, ready: false, started: false },
  backoff: {
    state: { waiting: { reason: 'CrashLoopBackOff' } },
    lastState: exit(1),
    ready: false,
    started: false,
  },
};

function observe(text: string, more: Partial<PodObservation> = {}): PodObservation {
  const containers = text.split(' ').map((item, index) => {
    const [kind = '', state = ''] = item.split(':');
    const status = {
      name: `c${index}`,
      image: 'i',
      imageID: '',
      restartCount: 0,
      ...(states[state] ?? states['waiting']),
    } as ContainerStatus;
    return { kind: kind as ContainerKind, status }; // the tables below have no other words
  });
  return {
    containers,
    podIps: ['10.0.0.2'],
    hostIp: '172.18.0.2',
    startTime: 't',
    sandboxReady: true,
    stoppedForGood: false,
    verdict: undefined,
    ...more,
  };
}

describe('podPhase', () => {
  it.each([
    ['Always', 'init:waiting main:waiting', 'Pending'],
    ['Always', 'init:running main:waiting', 'Pending'],
    ['Always', 'init:failed main:waiting', 'Pending'],
    ['Never', 'init:failed main:waiting', 'Failed'],
    ['Always', 'init:ok main:waiting', 'Pending'],
    ['Always', 'init:ok main:running main:waiting', 'Pending'],
    ['Always', 'main:running', 'Running'],
    ['Always', 'main:backoff', 'Running'],
    ['Always', 'main:ok', 'Running'],
    ['OnFailure', 'main:failed', 'Running'],
    ['OnFailure', 'main:ok', 'Succeeded'],
    ['Never', 'main:ok main:failed', 'Failed'],
    ['Never', 'main:ok main:running', 'Running'],
    ['Never', 'sidecar:running main:ok', 'Running'],
    ['Never', 'sidecar:ok main:ok', 'Succeeded'],
  ])('with restartPolicy %s and %s is %s', (policy, text, phase) => {
    expect(podPhase(policy, observe(text))).toBe(phase);
  });

  it.each([
    ['main:ok', 'Succeeded'],
    ['main:failed', 'Failed'],
    ['init:ok main:waiting', 'Failed'],
  ])('of a pod that was stopped with %s is %s', (text, phase) => {
    expect(podPhase('Always', observe(text, { stoppedForGood: true }))).toBe(phase);
  });
});

describe('podStatus', () => {
  const pod: Pod = {
    metadata: { name: 'p', namespace: 'n', uid: 'u' },
    spec: { containers: [{ name: 'c0' }] },
  };
  const conditionsOf = (status: ReturnType<typeof podStatus>): Record<string, string> =>
    Object.fromEntries((status.conditions ?? []).map((condition) => [condition.type, condition.status]));

  it('is Ready when main containers and sidecars are', () => {
    expect(conditionsOf(podStatus(pod, observe('sidecar:running main:running'), [], 'now'))).toEqual({
      PodReadyToStartContainers: 'True',
      Initialized: 'True',
      Ready: 'True',
      ContainersReady: 'True',
      PodScheduled: 'True',
    });
    expect(conditionsOf(podStatus(pod, observe('sidecar:unready main:running'), [], 'now'))['Ready']).toBe(
      'False',
    );
  });

  it('names what is not initialized and not ready', () => {
    const status = podStatus(pod, observe('init:waiting main:waiting'), [], 'now');
    expect(status.conditions).toContainEqual(
      expect.objectContaining({
        type: 'Initialized',
        status: 'False',
        message: 'containers with incomplete status: [c0]',
      }),
    );
    expect(status.conditions).toContainEqual(
      expect.objectContaining({
        type: 'Ready',
        reason: 'ContainersNotReady',
        message: 'containers with unready status: [c1]',
      }),
    );
  });

  it('waits for readiness gates', () => {
    const gated: Pod = {
      ...pod,
      spec: { ...pod.spec, readinessGates: [{ conditionType: 'example.com/lb' }] },
    };
    const shut = podStatus(gated, observe('main:running'), [], 'now');
    expect(conditionsOf(shut)).toMatchObject({ ContainersReady: 'True', Ready: 'False' });
    const open = { ...gated, status: { conditions: [{ type: 'example.com/lb', status: 'True' as const }] } };
    expect(conditionsOf(podStatus(open, observe('main:running'), [], 'now'))['Ready']).toBe('True');
  });

  it('keeps the time of a condition that stays as it was', () => {
    const known = [{ type: 'Ready', status: 'True' as const, lastTransitionTime: 'before' }];
    const status = podStatus(pod, observe('main:running'), known, 'now');
    const times = Object.fromEntries((status.conditions ?? []).map((c) => [c.type, c.lastTransitionTime]));
    expect(times).toMatchObject({ Ready: 'before', ContainersReady: 'now' });
  });

  it('says why a pod past its deadline failed', () => {
    const verdict = { phase: 'Failed' as const, reason: 'DeadlineExceeded', message: 'too long' };
    expect(podStatus(pod, observe('main:ok', { verdict }), [], 'now')).toMatchObject(verdict);
  });
});
