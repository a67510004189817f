import { isDeepStrictEqual } from 'node:util';
import {
  objectKey,
  resources,
  type PodController,
  type PodTemplate,
  type ResourceType,
} from '@weft/kubernetes';
import { deploymentStatus } from './deployment-status.ts';
import {
  age,
  contentHash,
  controllerOf,
  controllerReference,
  numberField,
  scaledValue,
  statusWrites,
} from './objects.ts';
import { isFinished, isTerminating } from './pods.ts';
import { isOf, nothing, splitKey, type ClusterView, type Controller, type Write } from './reconcile.ts';
import { nextSizes } from './rolling-update.ts';

const HASH_LABEL = 'pod-template-hash';
export const REVISION = 'deployment.kubernetes.io/revision';
const DESIRED_REPLICAS = 'deployment.kubernetes.io/desired-replicas';
const MAX_REPLICAS = 'deployment.kubernetes.io/max-replicas';
const LAST_APPLIED = 'kubectl.kubernetes.io/last-applied-configuration';

export const deploymentController: Controller = {
  name: 'deployment',

  keysFor(change, view) {
    if (isOf(change, resources.deployments)) return [objectKey(change.object)];
    const replicaSet = isOf(change, resources.replicaSets)
      ? change.object
      : isOf(change, resources.pods)
        ? replicaSetOf(change.object, view)
        : undefined;
    const owner = replicaSet === undefined ? undefined : controllerOf(replicaSet);
    return owner?.kind === 'Deployment' ? [`${change.object.metadata.namespace}/${owner.name}`] : [];
  },

  reconcile(key, view, now) {
    const { namespace, name } = splitKey(key);
    const deployment = view.get(resources.deployments, name, namespace);
    if (deployment?.spec === undefined) return nothing;
    const sets = [...view.controlledBy(resources.replicaSets, deployment.metadata.uid)].sort(
      (a, b) => age(a) - age(b),
    );
    const current = sets.find((set) => hasTemplate(set, deployment.spec?.template));
    const old = sets.filter((set) => set !== current && !isTerminating(set));
    const status = deploymentStatus(deployment, sets, current, now);
    const writes = isTerminating(deployment) ? [] : roll(deployment, current, old, view);
    return {
      writes: [...writes, ...statusWrites(resources.deployments, deployment, status.fields)],
      requeueAfterMs: status.requeueAfterMs,
    };
  },
};

function replicaSetOf(pod: { readonly metadata: PodController['metadata'] }, view: ClusterView) {
  const owner = controllerOf(pod);
  return owner?.kind === 'ReplicaSet'
    ? view.get(resources.replicaSets, owner.name, pod.metadata.namespace)
    : undefined;
}

/** One step of the rollout; the change it makes brings the next one. */
function roll(
  deployment: PodController,
  current: PodController | undefined,
  old: readonly PodController[],
  view: ClusterView,
): readonly Write[] {
  const paused = deployment.spec?.['paused'] === true;
  const desired = deployment.spec?.replicas ?? 1;
  if (current === undefined) {
    if (paused)
      return old.flatMap((set) => resize(deployment, set, Math.min(set.spec?.replicas ?? 0, desired)));
    const recreate = strategyOf(deployment).type === 'Recreate';
    const { maxSurge } = strategyOf(deployment);
    const others = total(old);
    const initial = recreate
      ? 0
      : Math.max(0, Math.min(desired, desired + scaledValue(maxSurge, desired, 'up', '25%') - others));
    return create(deployment, old, initial);
  }

  const revision = String(newestRevision(old) + 1);
  const outdated = Number(current.metadata.annotations?.[REVISION] ?? 0) < Number(revision);
  const writes: Write[] = [];
  if (outdated) writes.push(annotate(resources.replicaSets, current, { [REVISION]: revision }));
  const shown = outdated ? revision : (current.metadata.annotations?.[REVISION] ?? revision);
  if (deployment.metadata.annotations?.[REVISION] !== shown) {
    writes.push(annotate(resources.deployments, deployment, { [REVISION]: shown }));
  }
  if (paused && old.some((set) => (set.spec?.replicas ?? 0) > 0)) return writes;
  const sizes =
    strategyOf(deployment).type === 'Recreate'
      ? recreateSizes(desired, current, old, view)
      : rollingSizes(deployment, current, old);
  for (const set of [current, ...old]) {
    const size = sizes.get(set.metadata.name ?? '');
    if (size !== undefined) writes.push(...resize(deployment, set, size));
  }
  writes.push(...forgetHistory(deployment, old));
  return writes;
}

function rollingSizes(deployment: PodController, current: PodController, old: readonly PodController[]) {
  const { maxSurge, maxUnavailable } = strategyOf(deployment);
  const stateOf = (set: PodController) => ({
    name: set.metadata.name ?? '',
    wanted: set.spec?.replicas ?? 0,
    available: Number(set.status?.['availableReplicas'] ?? 0),
  });
  return nextSizes({
    desired: deployment.spec?.replicas ?? 1,
    maxSurge,
    maxUnavailable,
    current: stateOf(current),
    old: old.map(stateOf),
  });
}

/** All old pods must be gone, not merely terminating, before the first new one. */
function recreateSizes(
  desired: number,
  current: PodController,
  old: readonly PodController[],
  view: ClusterView,
): ReadonlyMap<string, number> {
  const sizes = new Map(
    old.filter((set) => set.spec?.replicas !== 0).map((set) => [set.metadata.name ?? '', 0]),
  );
  const left = old.some((set) =>
    view.controlledBy(resources.pods, set.metadata.uid).some((pod) => !isFinished(pod)),
  );
  if (!left && current.spec?.replicas !== desired) sizes.set(current.metadata.name ?? '', desired);
  return sizes;
}

function strategyOf(deployment: PodController): {
  readonly type: string;
  readonly maxSurge?: unknown;
  readonly maxUnavailable?: unknown;
} {
  // The API server validated and defaulted the strategy by its schema.
  const strategy = deployment.spec?.['strategy'] as
    | {
        readonly type?: string;
        readonly rollingUpdate?: { readonly maxSurge?: unknown; readonly maxUnavailable?: unknown };
      }
    | undefined;
  return { type: strategy?.type ?? 'RollingUpdate', ...strategy?.rollingUpdate };
}

function hasTemplate(set: PodController, template: PodTemplate | undefined): boolean {
  const { template: own } = set.spec ?? {};
  if (own === undefined || template === undefined || isTerminating(set)) return false;
  const { [HASH_LABEL]: _hash, ...labels } = own.metadata?.labels ?? {};
  const ownMetadata = { ...own.metadata, labels };
  return isDeepStrictEqual(
    { ...own, metadata: ownMetadata },
    { ...template, metadata: { ...template.metadata, labels: template.metadata?.labels ?? {} } },
  );
}

function create(
  deployment: PodController,
  old: readonly PodController[],
  replicas: number,
): readonly Write[] {
  const { template, selector } = deployment.spec ?? {};
  if (template === undefined) return [];
  const hash = contentHash(template);
  const labels = { ...template.metadata?.labels, [HASH_LABEL]: hash };
  const { [LAST_APPLIED]: _applied, ...annotations } = deployment.metadata.annotations ?? {};
  const object: PodController = {
    metadata: {
      name: `${deployment.metadata.name}-${hash}`,
      ...(deployment.metadata.namespace === undefined ? {} : { namespace: deployment.metadata.namespace }),
      labels,
      annotations: {
        ...annotations,
        [REVISION]: String(newestRevision(old) + 1),
        ...sizeAnnotations(deployment),
      },
      ownerReferences: [controllerReference(resources.deployments, deployment)],
    },
    spec: {
      replicas,
      minReadySeconds: numberField(deployment, 'minReadySeconds', 0),
      selector: { ...selector, matchLabels: { ...selector?.matchLabels, [HASH_LABEL]: hash } },
      template: { ...template, metadata: { ...template.metadata, labels } },
    },
  };
  return [{ kind: 'create', type: resources.replicaSets, object }];
}

function resize(deployment: PodController, set: PodController, replicas: number): readonly Write[] {
  if (set.spec?.replicas === replicas) return [];
  const { name = '', namespace } = set.metadata;
  const patch = { metadata: { annotations: sizeAnnotations(deployment) }, spec: { replicas } };
  return [{ kind: 'patch', type: resources.replicaSets, name, namespace, patch }];
}

function sizeAnnotations(deployment: PodController): Readonly<Record<string, string>> {
  const desired = deployment.spec?.replicas ?? 1;
  const surge = scaledValue(strategyOf(deployment).maxSurge, desired, 'up', '25%');
  return { [DESIRED_REPLICAS]: String(desired), [MAX_REPLICAS]: String(desired + surge) };
}

function annotate(
  type: ResourceType<PodController>,
  object: PodController,
  annotations: Readonly<Record<string, string>>,
): Write {
  const { name = '', namespace } = object.metadata;
  return { kind: 'patch', type, name, namespace, patch: { metadata: { annotations } } };
}

function newestRevision(sets: readonly PodController[]): number {
  return Math.max(0, ...sets.map((set) => Number(set.metadata.annotations?.[REVISION] ?? 0)));
}

/** Old ReplicaSets are the history that `rollout undo` goes back to, up to the limit. */
function forgetHistory(deployment: PodController, old: readonly PodController[]): readonly Write[] {
  const empty = old.filter(
    (set) => set.spec?.replicas === 0 && !(((set.status?.['replicas'] ?? 0) as number) > 0),
  ); // a count
  const excess = empty.length - numberField(deployment, 'revisionHistoryLimit', 10);
  return [...empty]
    .sort((a, b) => newestRevision([a]) - newestRevision([b]))
    .slice(0, Math.max(0, excess))
    .map((object) => ({ kind: 'delete', type: resources.replicaSets, object }));
}

function total(sets: readonly PodController[]): number {
  return sets.reduce((sum, set) => sum + (set.spec?.replicas ?? 0), 0);
}
