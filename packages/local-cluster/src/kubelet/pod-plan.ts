import { isSidecar, type Container, type Pod } from './pod.ts';

export type ContainerKind = 'init' | 'sidecar' | 'main';

/** A container as the plan sees it. */
export type ContainerPhase =
  /** Never ran. */
  | { readonly kind: 'created' }
  /** `started`: its startup probe, if it has one, has succeeded. */
  | { readonly kind: 'running'; readonly started: boolean }
  | { readonly kind: 'exited'; readonly exitCode: number };

export interface PlannedContainer {
  readonly name: string;
  readonly kind: ContainerKind;
  readonly phase: ContainerPhase;
}

/** What to do next for a pod that is not being deleted. */
export interface PodPlan {
  /** Containers to start; those that wait for their back-off are among them. */
  readonly start: readonly string[];
  /** The sidecar to stop now, once the main containers have ended for good. */
  readonly stop: string | undefined;
  /** Nothing runs and nothing will: the pod has succeeded or failed. */
  readonly finished: boolean;
}

/**
 * Decides which containers of a pod should start or stop:
 *
 *     init 1 ─▶ init 2 ─▶ sidecar (started) ─▶ init 3 ─▶ all main containers ─▶ sidecars stop, last one first
 *
 * Init containers run one by one to success, sidecars stay, and the pod's restart policy says what becomes of a
 * container that ended.
 */
export function planPod(restartPolicy: string, containers: readonly PlannedContainer[]): PodPlan {
  const sidecars = containers.filter(({ kind }) => kind === 'sidecar');
  const mains = containers.filter(({ kind }) => kind === 'main');
  const initsFirst = containers.filter(({ kind }) => kind !== 'main');
  const failedForGood = initsFirst.some(
    ({ kind, phase }) =>
      kind === 'init' && phase.kind === 'exited' && phase.exitCode !== 0 && restartPolicy === 'Never',
  );
  const mainsDone = mains.every(
    ({ phase }) => phase.kind === 'exited' && !restarts(restartPolicy, phase.exitCode),
  );
  if (failedForGood || mainsDone) {
    const running = containers.filter(({ phase }) => phase.kind === 'running');
    // After a failed init container no main one has run; what runs then is sidecars.
    return { start: [], stop: running.at(-1)?.name, finished: running.length === 0 };
  }

  const start: string[] = [];
  // Once a main container has run, init containers are history, whatever a restart of the kubelet makes of them.
  const initialized = mains.some(({ phase }) => phase.kind !== 'created');
  if (initialized) {
    start.push(...sidecars.filter(({ phase }) => phase.kind !== 'running').map(({ name }) => name));
  } else {
    for (const container of initsFirst) {
      const { kind, name, phase } = container;
      const done =
        kind === 'init'
          ? phase.kind === 'exited' && phase.exitCode === 0
          : phase.kind === 'running' && phase.started;
      if (phase.kind !== 'running' && !done) start.push(name);
      if (!done) return { start, stop: undefined, finished: false };
    }
  }
  for (const { name, phase } of mains) {
    if (phase.kind === 'created' || (phase.kind === 'exited' && restarts(restartPolicy, phase.exitCode)))
      start.push(name);
  }
  return { start, stop: undefined, finished: false };
}

/** Whether a container that ended so is run again. */
export function restarts(restartPolicy: string, exitCode: number): boolean {
  return restartPolicy === 'Always' || (restartPolicy === 'OnFailure' && exitCode !== 0);
}

/** The pod's containers in the order of their start. */
export function orderedContainers(
  pod: Pod,
): readonly { readonly spec: Container; readonly kind: ContainerKind }[] {
  return [
    ...(pod.spec.initContainers ?? []).map((spec) => ({
      spec,
      kind: isSidecar(spec) ? ('sidecar' as const) : ('init' as const),
    })),
    ...pod.spec.containers.map((spec) => ({ spec, kind: 'main' as const })),
  ];
}
