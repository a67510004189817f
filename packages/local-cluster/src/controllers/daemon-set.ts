import {
  objectKey,
  resources,
  type Node,
  type Pod,
  type PodController,
  type PodTemplate,
} from '@weft/kubernetes';
import { pinnedNode, pinTo, unfitReason, type Toleration } from './node-fitness.ts';
import { contentHash, controllerOf, numberField, scaledValue, statusWrites } from './objects.ts';
import { availableInMs, countPods, isFinished, isReady, isTerminating, podFromTemplate } from './pods.ts';
import { isOf, nothing, splitKey, type Controller, type Write } from './reconcile.ts';

const HASH_LABEL = 'controller-revision-hash';
const GENERATION_LABEL = 'pod-template-generation';

/** Daemons run on nodes in trouble too: that is when a node's proxy and its network are needed. */
const daemonTolerations: readonly Toleration[] = [
  { key: 'node.kubernetes.io/not-ready', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/unreachable', operator: 'Exists', effect: 'NoExecute' },
  { key: 'node.kubernetes.io/disk-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/memory-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/pid-pressure', operator: 'Exists', effect: 'NoSchedule' },
  { key: 'node.kubernetes.io/unschedulable', operator: 'Exists', effect: 'NoSchedule' },
];
const hostNetworkToleration: Toleration = {
  key: 'node.kubernetes.io/network-unavailable',
  operator: 'Exists',
  effect: 'NoSchedule',
};
/** A new node has no network before some DaemonSet brings it, so daemons may start while it is not ready. */
const notReadyToleration: Toleration = {
  key: 'node.kubernetes.io/not-ready',
  operator: 'Exists',
  effect: 'NoSchedule',
};

export const daemonSetController: Controller = {
  name: 'daemonset',

  keysFor(change, view) {
    if (isOf(change, resources.daemonSets)) return [objectKey(change.object)];
    if (isOf(change, resources.nodes)) return view.list(resources.daemonSets).map(objectKey);
    if (!isOf(change, resources.pods)) return [];
    const owner = controllerOf(change.object);
    return owner?.kind === 'DaemonSet' ? [`${change.object.metadata.namespace}/${owner.name}`] : [];
  },

  reconcile(key, view, now) {
    const { namespace, name } = splitKey(key);
    const daemonSet = view.get(resources.daemonSets, name, namespace);
    const template = daemonSet?.spec?.template;
    if (daemonSet === undefined || template === undefined) return nothing;
    const daemon: Daemon = {
      daemonSet,
      hash: contentHash(template),
      template: { ...template, spec: withDaemonTolerations(template) },
      minReadySeconds: numberField(daemonSet, 'minReadySeconds', 0),
    };
    const pods = view.controlledBy(resources.pods, daemonSet.metadata.uid);
    const places = placesOf(daemon, view.list(resources.nodes), pods);
    const deleting = isTerminating(daemonSet);
    const writes = deleting ? [] : [...cover(daemon, places), ...update(daemon, places, now)];
    const status = statusOf(daemon, places, now);
    return {
      writes: [...writes, ...statusWrites(resources.daemonSets, daemonSet, status.fields)],
      requeueAfterMs: status.nextAvailableMs,
    };
  },
};

interface Daemon {
  readonly daemonSet: PodController;
  readonly hash: string;
  readonly template: PodTemplate;
  readonly minReadySeconds: number;
}

/** A node with the daemon's pods on it: at most one old and one new, save for races. */
interface Place {
  readonly nodeName: string;
  readonly wanted: boolean;
  readonly old: readonly Pod[];
  readonly current: readonly Pod[];
  readonly terminating: readonly Pod[];
  readonly finished: readonly Pod[];
}

function placesOf(daemon: Daemon, nodes: readonly Node[], pods: readonly Pod[]): readonly Place[] {
  const byNode = new Map<string, Pod[]>(nodes.map((node) => [node.metadata.name ?? '', []]));
  for (const pod of pods) {
    const nodeName = pod.spec?.nodeName ?? (pod.spec === undefined ? undefined : pinnedNode(pod.spec)) ?? '';
    const here = byNode.get(nodeName);
    if (here === undefined) byNode.set(nodeName, [pod]);
    else here.push(pod);
  }
  const candidate: Pod = { metadata: {}, spec: daemon.template.spec };
  return [...byNode].map(([nodeName, here]) => {
    const node = nodes.find(({ metadata }) => metadata.name === nodeName);
    const alive = here.filter((pod) => !isTerminating(pod) && !isFinished(pod));
    return {
      nodeName,
      wanted: node !== undefined && unfitReason(candidate, node) === undefined,
      old: alive.filter((pod) => pod.metadata.labels?.[HASH_LABEL] !== daemon.hash),
      current: alive.filter((pod) => pod.metadata.labels?.[HASH_LABEL] === daemon.hash),
      terminating: here.filter(isTerminating),
      finished: here.filter((pod) => isFinished(pod) && !isTerminating(pod)),
    };
  });
}

/** One pod where a node wants one, none where it doesn't. */
function cover(daemon: Daemon, places: readonly Place[]): readonly Write[] {
  return places.flatMap((place): readonly Write[] => {
    const { wanted, old, current, terminating, finished } = place;
    if (!wanted) return [...old, ...current].map(deletion);
    // A pod's host ports, sockets and paths are free only once it is gone, so its successor waits for that.
    if (old.length + current.length + terminating.length + finished.length === 0)
      return [creation(daemon, place)];
    return [...finished.map(deletion), ...current.slice(1).map(deletion)];
  });
}

/** Replaces old pods: within `maxUnavailable` by deleting first, within `maxSurge` by adding first. */
function update(daemon: Daemon, places: readonly Place[], now: Date): readonly Write[] {
  // Validated and defaulted by the API server.
  const strategy = daemon.daemonSet.spec?.['updateStrategy'] as
    | {
        readonly type?: string;
        readonly rollingUpdate?: { readonly maxSurge?: unknown; readonly maxUnavailable?: unknown };
      }
    | undefined;
  if (strategy?.type === 'OnDelete') return [];
  const wanted = places.filter((place) => place.wanted);
  const maxSurge = scaledValue(strategy?.rollingUpdate?.maxSurge, wanted.length, 'up', 0);
  const maxUnavailable = scaledValue(strategy?.rollingUpdate?.maxUnavailable, wanted.length, 'up', 1);
  const isAvailable = (pod: Pod) => availableInMs(pod, daemon.minReadySeconds, now) === 0;
  return maxSurge > 0
    ? surgeUpdate(daemon, wanted, maxSurge, isAvailable)
    : deleteUpdate(wanted, maxUnavailable, isAvailable);
}

function surgeUpdate(
  daemon: Daemon,
  places: readonly Place[],
  maxSurge: number,
  isAvailable: (pod: Pod) => boolean,
): readonly Write[] {
  const writes: Write[] = [];
  let surging = places.filter(({ old, current }) => old.length > 0 && current.length > 0).length;
  for (const place of places) {
    if (place.old.length === 0) continue;
    if (place.current.some(isAvailable)) writes.push(...place.old.map(deletion));
    else if (place.current.length === 0) {
      if (!place.old.some(isAvailable)) {
        // It serves nobody, so there is nothing to keep up beside the new one.
        writes.push(...place.old.map(deletion));
      } else if (surging < maxSurge) {
        surging++;
        writes.push(creation(daemon, place));
      }
    }
  }
  return writes;
}

function deleteUpdate(
  places: readonly Place[],
  maxUnavailable: number,
  isAvailable: (pod: Pod) => boolean,
): readonly Write[] {
  const served = ({ old, current }: Place) => [...old, ...current].some(isAvailable);
  let budget = maxUnavailable - places.filter((place) => !served(place)).length;
  const writes: Write[] = [];
  for (const place of places) {
    if (place.old.length === 0 || place.current.length > 0) continue;
    if (!served(place)) writes.push(...place.old.map(deletion));
    else if (budget > 0) {
      budget--;
      writes.push(...place.old.map(deletion));
    }
  }
  return writes;
}

function statusOf(daemon: Daemon, places: readonly Place[], now: Date) {
  const wanted = places.filter((place) => place.wanted);
  const held = wanted.filter(({ old, current }) => old.length + current.length > 0);
  const perPlace = held.map(({ old, current }) =>
    countPods([...old, ...current], daemon.minReadySeconds, now),
  );
  const available = perPlace.filter((counts) => counts.available > 0).length;
  const waits = perPlace.flatMap(({ nextAvailableMs }) =>
    nextAvailableMs === undefined ? [] : [nextAvailableMs],
  );
  return {
    fields: {
      observedGeneration: daemon.daemonSet.metadata.generation,
      desiredNumberScheduled: wanted.length,
      currentNumberScheduled: held.length,
      numberMisscheduled: places.filter(
        ({ wanted: w, old, current }) => !w && old.length + current.length > 0,
      ).length,
      numberReady: held.filter(({ old, current }) => [...old, ...current].some(isReady)).length,
      updatedNumberScheduled: wanted.filter(({ current }) => current.length > 0).length,
      numberAvailable: available,
      numberUnavailable: wanted.length - available,
    },
    nextAvailableMs: waits.length === 0 ? undefined : Math.min(...waits),
  };
}

function withDaemonTolerations({ spec }: PodTemplate): PodTemplate['spec'] {
  const own = (spec['tolerations'] ?? []) as readonly Toleration[]; // validated by the API server
  const added = [
    ...daemonTolerations,
    notReadyToleration,
    ...(spec.hostNetwork === true ? [hostNetworkToleration] : []),
  ];
  return { ...spec, tolerations: [...own, ...added] };
}

function creation(daemon: Daemon, place: Place): Write {
  const { daemonSet, template, hash } = daemon;
  const labels = { [HASH_LABEL]: hash, [GENERATION_LABEL]: String(daemonSet.metadata.generation ?? 1) };
  return {
    kind: 'create',
    type: resources.pods,
    object: podFromTemplate(resources.daemonSets, daemonSet, template, {
      labels,
      spec: pinTo(template.spec, place.nodeName),
    }),
  };
}

function deletion(object: Pod): Write {
  return { kind: 'delete', type: resources.pods, object };
}
