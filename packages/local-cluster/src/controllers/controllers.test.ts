import { describe, expect, it } from '@jest/globals';
import {
  resources,
  type ConfigMap,
  type Lease,
  type Node,
  type Pod,
  type PodController,
  type Service,
} from '@weft/kubernetes';
import { daemonSetController } from './daemon-set.ts';
import { deploymentController } from './deployment.ts';
import { endpointsController } from './endpoints.ts';
import { jobController } from './job.ts';
import { loadBalancerController } from './load-balancer.ts';
import { namespaceController } from './namespaces.ts';
import { nodeLifecycleController } from './node-lifecycle.ts';
import type { Controller, ClusterView, Write } from './reconcile.ts';
import { replicaSetController } from './replica-set.ts';
import { place, schedulerController } from './scheduler.ts';
import { statefulSetController } from './stateful-set.ts';
import { staticView } from './testing/static-view.ts';

const now = new Date('2026-01-01T00:00:00Z');
const template = { metadata: { labels: { app: 'a' } }, spec: { containers: [{ name: 'c' }] } };

function podController(kind: string, spec: object = {}): PodController {
  return {
    kind,
    metadata: { name: 'a', namespace: 'ns', uid: 'owner', generation: 1 },
    spec: { selector: { matchLabels: { app: 'a' } }, template, ...spec },
  };
}

function ownedPod(
  name: string,
  o: {
    owner?: string;
    ready?: boolean;
    phase?: string;
    node?: string;
    labels?: Record<string, string>;
    deleting?: boolean;
  } = {},
): Pod {
  const { owner = 'owner', ready = true, phase = 'Running', node = 'node-1', labels = { app: 'a' } } = o;
  return {
    kind: 'Pod',
    metadata: {
      name,
      namespace: 'ns',
      uid: name,
      labels,
      ownerReferences: [{ apiVersion: 'v1', kind: 'X', name: 'a', uid: owner, controller: true }],
      ...(o.deleting === true ? { deletionTimestamp: '2026-01-01T00:00:00Z' } : {}),
    },
    spec: { nodeName: node, containers: [{ name: 'c', ports: [{ name: 'http', containerPort: 8080 }] }] },
    status: {
      phase: phase as 'Running', // test data
      podIP: `10.244.0.${name.charCodeAt(name.length - 1)}`,
      conditions: [
        { type: 'Ready', status: ready ? 'True' : 'False', lastTransitionTime: '2026-01-01T00:00:00Z' },
      ],
    },
  };
}

function node(
  name: string,
  o: { labels?: Record<string, string>; taints?: { key: string; effect: string }[]; ready?: boolean } = {},
): Node {
  return {
    metadata: { name, uid: name, labels: o.labels ?? {}, creationTimestamp: '2025-12-31T23:59:50Z' },
    spec: { taints: o.taints ?? [] },
    status: { conditions: [{ type: 'Ready', status: o.ready === false ? 'False' : 'True' }] },
  };
}

function writesOf(controller: Controller, view: ClusterView, key = 'ns/a'): readonly Write[] {
  return controller.reconcile(key, view, now).writes;
}

/** `create pods`, `delete pods x`, `patch deployments/status a`. */
function summary(writes: readonly Write[]): readonly string[] {
  return writes.map((write) => {
    switch (write.kind) {
      case 'create':
        return `create ${write.type.plural}`;
      case 'delete':
      case 'collect':
        return `${write.kind} ${write.type.plural} ${write.object.metadata.name}`;
      case 'patch':
        return `patch ${write.type.plural}${write.subresource === undefined ? '' : `/${write.subresource}`} ${write.name}`;
      case 'bind':
        return `bind ${write.pod.metadata.name} ${write.nodeName}`;
      case 'event':
        return `event ${write.reason}`;
    }
  });
}

describe('ReplicaSet controller', () => {
  it('creates the pods that are missing', () => {
    const view = staticView(
      [resources.replicaSets, podController('ReplicaSet', { replicas: 3 })],
      [resources.pods, ownedPod('p1')],
    );
    expect(summary(writesOf(replicaSetController, view))).toEqual([
      'create pods',
      'create pods',
      'patch replicasets/status a',
    ]);
  });

  it('deletes a pod that is not ready rather than one that is', () => {
    const view = staticView(
      [resources.replicaSets, podController('ReplicaSet', { replicas: 1 })],
      [resources.pods, ownedPod('p1')],
      [resources.pods, ownedPod('p2', { ready: false })],
    );
    expect(summary(writesOf(replicaSetController, view))[0]).toBe('delete pods p2');
  });

  it('counts neither finished nor terminating pods, nor those of others', () => {
    const view = staticView(
      [resources.replicaSets, podController('ReplicaSet', { replicas: 1 })],
      [resources.pods, ownedPod('p1', { phase: 'Failed' })],
      [resources.pods, ownedPod('p2', { deleting: true })],
      [resources.pods, ownedPod('p3', { owner: 'another' })],
    );
    expect(summary(writesOf(replicaSetController, view))).toContain('create pods');
  });

  it('writes no status that is already so', () => {
    const status = {
      replicas: 1,
      fullyLabeledReplicas: 1,
      readyReplicas: 1,
      availableReplicas: 1,
      observedGeneration: 1,
    };
    const settled: PodController = { ...podController('ReplicaSet', { replicas: 1 }), status };
    const view = staticView([resources.replicaSets, settled], [resources.pods, ownedPod('p1')]);
    expect(writesOf(replicaSetController, view)).toEqual([]);
  });
});

describe('Deployment controller', () => {
  it('makes a ReplicaSet whose template is its own plus the hash label', () => {
    const view = staticView([resources.deployments, podController('Deployment', { replicas: 2 })]);
    const [write] = writesOf(deploymentController, view);
    expect(write).toMatchObject({
      kind: 'create',
      object: {
        metadata: { annotations: { 'deployment.kubernetes.io/revision': '1' }, labels: { app: 'a' } },
        spec: { replicas: 2, template: { spec: template.spec } },
      },
    });
  });

  it('finds the ReplicaSet of its template again, whatever the order of keys', () => {
    const first = staticView([resources.deployments, podController('Deployment', { replicas: 2 })]);
    const [write] = writesOf(deploymentController, first);
    if (write?.kind !== 'create') throw new Error('no ReplicaSet was made');
    const replicaSet = { ...write.object, metadata: { ...write.object.metadata, uid: 'rs' } };
    const reordered = { spec: template.spec, metadata: template.metadata };
    const view = staticView(
      [resources.deployments, podController('Deployment', { template: reordered, replicas: 2 })],
      [resources.replicaSets, replicaSet],
    );
    expect(summary(writesOf(deploymentController, view))).not.toContain('create replicasets');
  });

  it('reports the conditions that rollout status and helm wait for', () => {
    const view = staticView([resources.deployments, podController('Deployment', { replicas: 0 })]);
    const patch = writesOf(deploymentController, view).at(-1);
    expect(patch).toMatchObject({
      subresource: 'status',
      patch: {
        status: {
          observedGeneration: 1,
          conditions: [{ type: 'Available', status: 'True' }, { type: 'Progressing' }],
        },
      },
    });
  });
});

describe('DaemonSet controller', () => {
  it('puts a pod on every node that its tolerations allow', () => {
    const view = staticView(
      [resources.daemonSets, podController('DaemonSet')],
      [resources.nodes, node('node-1')],
      [resources.nodes, node('node-2', { taints: [{ key: 'other', effect: 'NoSchedule' }] })],
      [
        resources.nodes,
        node('node-3', { taints: [{ key: 'node.kubernetes.io/not-ready', effect: 'NoSchedule' }] }),
      ],
    );
    const created = writesOf(daemonSetController, view).filter((write) => write.kind === 'create');
    expect(JSON.stringify(created)).toMatch(/node-1/);
    expect(JSON.stringify(created)).toMatch(/node-3/);
    expect(created).toHaveLength(2);
  });

  it('with maxSurge adds the new pod beside the old, and removes the old once the new is available', () => {
    const strategy = {
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxSurge: 1, maxUnavailable: 0 } },
    };
    const daemonSet = podController('DaemonSet', strategy);
    const nodes = [
      [resources.nodes, node('node-1')],
      [resources.nodes, node('node-2')],
    ] as const;
    const old1 = ownedPod('old1', { labels: { 'controller-revision-hash': 'old' } });
    const old2 = ownedPod('old2', { labels: { 'controller-revision-hash': 'old' }, node: 'node-2' });
    const before = staticView(
      [resources.daemonSets, daemonSet],
      ...nodes,
      [resources.pods, old1],
      [resources.pods, old2],
    );
    const writes = writesOf(daemonSetController, before);
    expect(summary(writes).filter((line) => !line.includes('status'))).toEqual(['create pods']);
    const [creation] = writes;
    if (creation?.kind !== 'create') throw new Error('no surge pod');
    const fresh = ownedPod('new1', { labels: { ...creation.object.metadata.labels } });
    const after = staticView(
      [resources.daemonSets, daemonSet],
      ...nodes,
      [resources.pods, old1],
      [resources.pods, old2],
      [resources.pods, fresh],
    );
    // node-1's old pod goes; node-2 gets its turn only when node-1 is done.
    expect(summary(writesOf(daemonSetController, after)).filter((line) => !line.includes('status'))).toEqual([
      'delete pods old1',
    ]);
  });

  it('without surge replaces one available pod at a time and waits for it to be gone', () => {
    const daemonSet = podController('DaemonSet', {
      updateStrategy: { type: 'RollingUpdate', rollingUpdate: { maxUnavailable: 1 } },
    });
    const old = (name: string, at: string, deleting = false) =>
      ownedPod(name, { labels: { 'controller-revision-hash': 'old' }, node: at, deleting });
    const nodes = [
      [resources.nodes, node('node-1')],
      [resources.nodes, node('node-2')],
    ] as const;
    const first = staticView(
      [resources.daemonSets, daemonSet],
      ...nodes,
      [resources.pods, old('a', 'node-1')],
      [resources.pods, old('b', 'node-2')],
    );
    expect(summary(writesOf(daemonSetController, first))[0]).toBe('delete pods a');
    const second = staticView(
      [resources.daemonSets, daemonSet],
      ...nodes,
      [resources.pods, old('a', 'node-1', true)],
      [resources.pods, old('b', 'node-2')],
    );
    expect(summary(writesOf(daemonSetController, second)).filter((line) => !line.includes('status'))).toEqual(
      [],
    );
  });

  it('reports every count that helm wants present', () => {
    const view = staticView([resources.daemonSets, podController('DaemonSet')]);
    expect(writesOf(daemonSetController, view)).toMatchObject([
      {
        patch: {
          status: {
            currentNumberScheduled: 0,
            desiredNumberScheduled: 0,
            numberAvailable: 0,
            numberMisscheduled: 0,
            numberReady: 0,
            observedGeneration: 1,
            updatedNumberScheduled: 0,
          },
        },
      },
    ]);
  });
});

describe('StatefulSet controller', () => {
  it('starts pods in order, each after its predecessor is ready', () => {
    const set = podController('StatefulSet', { replicas: 3, serviceName: 'svc' });
    const created = writesOf(statefulSetController, staticView([resources.statefulSets, set]));
    expect(summary(created)).toEqual(['create pods', 'patch statefulsets/status a']);
    expect(created[0]).toMatchObject({
      object: { metadata: { name: 'a-0' }, spec: { hostname: 'a-0', subdomain: 'svc' } },
    });
    const waiting = staticView(
      [resources.statefulSets, set],
      [resources.pods, ownedPod('a-0', { ready: false })],
    );
    expect(summary(writesOf(statefulSetController, waiting))).not.toContain('create pods');
  });

  it('removes surplus pods from the highest ordinal down', () => {
    const set = podController('StatefulSet', { replicas: 1 });
    const pods = ['a-0', 'a-1', 'a-2'].map((name) => [resources.pods, ownedPod(name)] as const);
    expect(
      summary(writesOf(statefulSetController, staticView([resources.statefulSets, set], ...pods)))[0],
    ).toBe('delete pods a-2');
  });
});

describe('Job controller', () => {
  const job = (spec: object = {}) =>
    podController('Job', { completions: 1, parallelism: 1, backoffLimit: 1, ...spec });

  it('runs no more pods than completions are missing', () => {
    const view = staticView([resources.jobs, job({ completions: 2, parallelism: 5 })]);
    expect(summary(writesOf(jobController, view)).filter((line) => line === 'create pods')).toHaveLength(2);
  });

  it('is Complete, and SuccessCriteriaMet before that', () => {
    const view = staticView([resources.jobs, job()], [resources.pods, ownedPod('p', { phase: 'Succeeded' })]);
    expect(writesOf(jobController, view)).toMatchObject([
      {
        patch: {
          status: {
            succeeded: 1,
            conditions: [{ type: 'SuccessCriteriaMet' }, { type: 'Complete', status: 'True' }],
          },
        },
      },
    ]);
  });

  it('fails beyond its back-off limit', () => {
    const pods = ['p1', 'p2'].map((name) => [resources.pods, ownedPod(name, { phase: 'Failed' })] as const);
    expect(writesOf(jobController, staticView([resources.jobs, job()], ...pods))).toMatchObject([
      {
        patch: {
          status: {
            failed: 2,
            conditions: [{ type: 'FailureTarget' }, { type: 'Failed', reason: 'BackoffLimitExceeded' }],
          },
        },
      },
    ]);
  });
});

describe('endpoints controller', () => {
  const service: Service = {
    metadata: { name: 'a', namespace: 'ns', uid: 'svc' },
    spec: {
      clusterIP: '10.96.0.7',
      selector: { app: 'a' },
      ports: [{ name: 'web', port: 80, targetPort: 'http' }],
    },
  };

  it('lists pods with the number of a named port, and marks those that are leaving', () => {
    const view = staticView(
      [resources.services, service],
      [resources.pods, ownedPod('p1')],
      [resources.pods, ownedPod('p2', { deleting: true })],
      [resources.pods, ownedPod('p3', { labels: { app: 'b' } })],
    );
    expect(writesOf(endpointsController, view)[0]).toMatchObject({
      kind: 'create',
      object: {
        metadata: { labels: { 'kubernetes.io/service-name': 'a' } },
        ports: [{ name: 'web', port: 8080, protocol: 'TCP' }],
        endpoints: [
          { targetRef: { name: 'p1' }, conditions: { ready: true, serving: true, terminating: false } },
          { targetRef: { name: 'p2' }, conditions: { ready: false, serving: true, terminating: true } },
        ],
      },
    });
  });

  it('leaves a Service without selector to its user', () => {
    const { selector: _, ...spec } = service.spec ?? {};
    const manual: Service = { ...service, spec };
    expect(writesOf(endpointsController, staticView([resources.services, manual]))).toEqual([]);
  });
});

describe('scheduler', () => {
  const pod: Pod = { metadata: { name: 'p', namespace: 'ns' }, spec: { containers: [] } };

  it('prefers the node with the fewest pods', () => {
    const pods = [ownedPod('x', { node: 'node-1' })];
    expect(place(pod, [node('node-1'), node('node-2')], pods)).toEqual({ kind: 'bind', nodeName: 'node-2' });
  });

  it('spreads replicas although no binding of them has been seen yet, and forgets what did not come true', () => {
    const replicas = ['x', 'y', 'z'].map((uid) => ownedPod(uid, { phase: 'Pending', node: '' }));
    const nodes = [node('node-1'), node('node-2')];
    const controller = schedulerController();
    const bound = (of: readonly Pod[], name: string): string | undefined => {
      const view = staticView(
        ...nodes.map((object) => [resources.nodes, object] as const),
        ...of.map((object) => [resources.pods, object] as const),
      );
      const [write] = controller.reconcile(`ns/${name}`, view, now).writes;
      return write?.kind === 'bind' ? write.nodeName : undefined;
    };
    expect(bound(replicas, 'x')).toBe('node-1');
    expect(bound(replicas, 'y')).toBe('node-2');
    // x is gone before it was bound.
    expect(bound(replicas.slice(1), 'z')).toBe('node-1');
  });

  it('says why no node will do', () => {
    const picky: Pod = { ...pod, spec: { containers: [], nodeSelector: { disk: 'fast' } } };
    const nodes = [node('node-1', { taints: [{ key: 'k', effect: 'NoSchedule' }] }), node('node-2')];
    expect(place(picky, nodes, [])).toEqual({
      kind: 'unschedulable',
      message:
        "0/2 nodes are available: 1 node(s) had untolerated taint {k: }, 1 node(s) didn't match Pod's node affinity/selector.",
    });
  });

  it('goes only where required node affinity allows', () => {
    const terms = [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['b'] }] }];
    const affinity = {
      nodeAffinity: { requiredDuringSchedulingIgnoredDuringExecution: { nodeSelectorTerms: terms } },
    };
    const nodes = [node('node-1', { labels: { zone: 'a' } }), node('node-2', { labels: { zone: 'b' } })];
    expect(place({ ...pod, spec: { containers: [], affinity } }, nodes, [])).toMatchObject({
      nodeName: 'node-2',
    });
  });
});

describe('node lifecycle controller', () => {
  const lease = (renewTime: string): Lease => ({
    metadata: { name: 'node-1', namespace: 'kube-node-lease' },
    spec: { renewTime, leaseDurationSeconds: 40 },
  });

  it('marks a node whose Lease ran out as unknown, taints it, and takes its pods out of service', () => {
    const view = staticView(
      [resources.nodes, node('node-1')],
      [resources.leases, lease('2025-12-31T23:59:00.000000Z')],
      [resources.pods, ownedPod('p1')],
    );
    expect(summary(writesOf(nodeLifecycleController, view, 'node-1'))).toEqual([
      'patch nodes/status node-1',
      'patch nodes node-1',
      'patch pods/status p1',
    ]);
  });

  it('looks again when the Lease would run out', () => {
    const view = staticView(
      [resources.nodes, node('node-1')],
      [resources.leases, lease('2026-01-01T00:00:00.000000Z')],
    );
    expect(nodeLifecycleController.reconcile('node-1', view, now)).toEqual({
      writes: [],
      requeueAfterMs: 40_000,
    });
  });

  it('removes the pods of a node that no longer exists', () => {
    const view = staticView([resources.pods, ownedPod('p1')]);
    expect(writesOf(nodeLifecycleController, view, 'node-1')).toMatchObject([
      { kind: 'delete', gracePeriodSeconds: 0 },
    ]);
  });
});

describe('namespace controller', () => {
  it('gives a namespace its default ServiceAccount and the root certificate', () => {
    const view = staticView([resources.namespaces, { metadata: { name: 'ns' } }]);
    expect(summary(writesOf(namespaceController('PEM'), view, 'ns'))).toEqual([
      'create serviceaccounts',
      'create configmaps',
    ]);
  });

  it('restores a root certificate that somebody changed', () => {
    const changed: ConfigMap = {
      metadata: { name: 'kube-root-ca.crt', namespace: 'ns' },
      data: { 'ca.crt': 'other' },
    };
    const view = staticView(
      [resources.namespaces, { metadata: { name: 'ns' } }],
      [resources.serviceAccounts, { metadata: { name: 'default', namespace: 'ns' } }],
      [resources.configMaps, changed],
    );
    expect(summary(writesOf(namespaceController('PEM'), view, 'ns'))).toEqual([
      'patch configmaps kube-root-ca.crt',
    ]);
  });
});

describe('load balancer controller', () => {
  it('gives each Service an address of its own and takes it back', () => {
    const balancer = (name: string, type: 'LoadBalancer' | 'ClusterIP', ip?: string): Service => ({
      metadata: { name, namespace: 'ns' },
      spec: { type },
      status: { loadBalancer: { ingress: ip === undefined ? [] : [{ ip }] } },
    });
    const taken = [resources.services, balancer('b', 'LoadBalancer', '10.0.0.1')] as const;
    const view = staticView(taken, [resources.services, balancer('a', 'LoadBalancer')]);
    expect(writesOf(loadBalancerController('10.0.0.0/29'), view)).toMatchObject([
      { patch: { status: { loadBalancer: { ingress: [{ ip: '10.0.0.2' }] } } } },
    ]);
    const former = staticView(taken, [resources.services, balancer('a', 'ClusterIP', '10.0.0.3')]);
    expect(writesOf(loadBalancerController('10.0.0.0/29'), former)).toMatchObject([
      { patch: { status: { loadBalancer: { ingress: null } } } },
    ]);
  });
});
