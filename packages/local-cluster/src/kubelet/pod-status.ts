import type { ContainerKind } from './pod-plan.ts';
import { restarts } from './pod-plan.ts';
import type { ContainerStatus, Pod, PodCondition, PodPhase, PodStatus } from './pod.ts';

/** What is known of a pod's containers and network. */
export interface PodObservation {
  readonly containers: readonly { readonly kind: ContainerKind; readonly status: ContainerStatus }[];
  /** Empty before the network is attached. */
  readonly podIps: readonly string[];
  readonly hostIp: string;
  readonly startTime: string;
  readonly sandboxReady: boolean;
  /** Every container has ended and none starts again, because the pod is deleted, finished or past its deadline. */
  readonly stoppedForGood: boolean;
  /** Overrules what the containers say, such as DeadlineExceeded. */
  readonly verdict:
    | { readonly phase: PodPhase; readonly reason: string; readonly message: string }
    | undefined;
}

/** The status to report. Pure; conditions that are as in `known` keep its transition time. */
export function podStatus(
  pod: Pod,
  observation: PodObservation,
  known: readonly PodCondition[],
  now: string,
): PodStatus {
  const { containers, podIps, hostIp, startTime, verdict } = observation;
  const phase = verdict?.phase ?? podPhase(pod.spec.restartPolicy ?? 'Always', observation);
  const of = (...kinds: readonly ContainerKind[]): readonly ContainerStatus[] =>
    containers.filter(({ kind }) => kinds.includes(kind)).map(({ status }) => status);
  const initStatuses = of('init', 'sidecar');
  return {
    phase,
    ...(verdict === undefined ? {} : { reason: verdict.reason, message: verdict.message }),
    conditions: withTimes(conditions(pod, observation, phase), known, now),
    hostIP: hostIp,
    hostIPs: [{ ip: hostIp }],
    ...(podIps[0] === undefined ? {} : { podIP: podIps[0], podIPs: podIps.map((ip) => ({ ip })) }),
    startTime,
    qosClass: qosClass(pod),
    ...(initStatuses.length === 0 ? {} : { initContainerStatuses: initStatuses }),
    containerStatuses: of('main'),
  };
}

/** The rules of the Kubernetes kubelet's getPhase. A waiting container that ran before counts as stopped. */
export function podPhase(restartPolicy: string, { containers, stoppedForGood }: PodObservation): PodPhase {
  const endOf = (status: ContainerStatus): number | undefined =>
    (
      status.state.terminated ??
      (status.state.waiting === undefined ? undefined : status.lastState.terminated)
    )?.exitCode;
  const inits = containers.filter(({ kind }) => kind === 'init').map(({ status }) => status);
  const sidecars = containers.filter(({ kind }) => kind === 'sidecar').map(({ status }) => status);
  const mains = containers.filter(({ kind }) => kind === 'main').map(({ status }) => status);

  const failedInits = inits.filter((status) => (endOf(status) ?? 0) !== 0).length;
  const pendingInits = inits.filter((status) => endOf(status) === undefined).length;
  const sidecarRuns = sidecars.some((status) => status.state.running !== undefined);
  const ends = mains.map(endOf);
  const running = mains.filter((status) => status.state.running !== undefined).length;
  const waiting = mains.filter(
    (status) => status.state.waiting !== undefined && endOf(status) === undefined,
  ).length;

  if (failedInits > 0 && restartPolicy === 'Never') return sidecarRuns ? 'Pending' : 'Failed';
  if (stoppedForGood && running === 0) {
    return ends.every((exitCode) => exitCode === 0) && failedInits === 0 && pendingInits === 0
      ? 'Succeeded'
      : 'Failed';
  }
  if (pendingInits > 0 || failedInits > 0 || waiting > 0) return 'Pending';
  const goesOn = ends.some((exitCode) => exitCode !== undefined && restarts(restartPolicy, exitCode));
  if (running > 0 || goesOn || sidecarRuns) return 'Running';
  return ends.every((exitCode) => exitCode === 0) ? 'Succeeded' : 'Failed';
}

type BareCondition = Omit<PodCondition, 'lastTransitionTime'>;

function conditions(pod: Pod, observation: PodObservation, phase: PodPhase): readonly BareCondition[] {
  const { containers, sandboxReady } = observation;
  const incomplete = containers
    .filter(({ kind, status }) =>
      kind === 'init'
        ? status.state.terminated?.exitCode !== 0
        : kind === 'sidecar' && !(status.started === true || status.state.terminated !== undefined),
    )
    .map(({ status }) => status.name);
  const mainRan = containers.some(
    ({ kind, status }) =>
      kind === 'main' &&
      status.state.waiting?.reason !== 'PodInitializing' &&
      (status.state.running ?? status.state.terminated ?? status.lastState.terminated) !== undefined,
  );
  const initialized = incomplete.length === 0 || mainRan;
  const unready = containers
    .filter(({ kind, status }) => kind !== 'init' && !status.ready)
    .map(({ status }) => status.name);

  const ended =
    phase === 'Succeeded'
      ? { reason: 'PodCompleted' }
      : phase === 'Failed'
        ? { reason: 'PodFailed' }
        : undefined;
  const notReady = ended ?? {
    reason: 'ContainersNotReady',
    message: `containers with unready status: [${unready.join(' ')}]`,
  };
  const containersReady = ended === undefined && unready.length === 0;
  const missingGates = (pod.spec.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter(
      (type) => pod.status?.conditions?.find((condition) => condition.type === type)?.status !== 'True',
    );
  const gatesShut = {
    reason: 'ReadinessGatesNotReady',
    message: `the status of pod readiness gate "${missingGates.join('", "')}" is not "True"`,
  };
  return [
    truth('PodReadyToStartContainers', sandboxReady),
    initialized
      ? truth('Initialized', true, phase === 'Succeeded' ? { reason: 'PodCompleted' } : {})
      : truth('Initialized', false, {
          reason: 'ContainersNotInitialized',
          message: `containers with incomplete status: [${incomplete.join(' ')}]`,
        }),
    truth('Ready', containersReady && missingGates.length === 0, containersReady ? gatesShut : notReady),
    truth('ContainersReady', containersReady, notReady),
    truth('PodScheduled', true),
  ];
}

function truth(
  type: string,
  holds: boolean,
  why: { readonly reason?: string; readonly message?: string } = {},
): BareCondition {
  const keepsReason = !holds || type === 'Initialized';
  return { type, status: holds ? 'True' : 'False', ...(keepsReason ? why : {}) };
}

function withTimes(
  fresh: readonly BareCondition[],
  known: readonly PodCondition[],
  now: string,
): readonly PodCondition[] {
  return fresh.map((condition) => {
    const before = known.find(({ type }) => type === condition.type);
    const same = before?.status === condition.status && before.lastTransitionTime !== undefined;
    return {
      ...condition,
      lastProbeTime: null,
      lastTransitionTime: same ? before.lastTransitionTime : now,
    } as PodCondition; // exactOptionalPropertyTypes can't see that `same` excludes undefined
  });
}

function qosClass(pod: Pod): string {
  const all = [...pod.spec.containers, ...(pod.spec.initContainers ?? [])].map(
    ({ resources = {} }) => resources,
  );
  if (all.every(({ limits = {}, requests = {} }) => Object.keys({ ...limits, ...requests }).length === 0))
    return 'BestEffort';
  const guaranteed = all.every(({ limits = {}, requests = limits }) =>
    ['cpu', 'memory'].every(
      (name) => limits[name] !== undefined && (requests[name] ?? limits[name]) === limits[name],
    ),
  );
  return guaranteed ? 'Guaranteed' : 'Burstable';
}
