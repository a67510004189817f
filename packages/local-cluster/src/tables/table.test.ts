import { describe, expect, it } from '@jest/globals';
import type { JsonObject, JsonValue } from '../schema/index.ts';
import { humanDuration } from './cells.ts';
import { toTable } from './table.ts';

const now = new Date('2024-01-10T00:00:00Z');
const metadata = { name: 'x', creationTimestamp: '2024-01-09T23:55:30Z' };

/** What `kubectl get` (wide: with `-o wide`) would print for one object. */
function printed(resource: string, object: JsonObject, wide = false): Record<string, JsonValue> {
  const [group = '', kind = ''] = resource.split('/');
  const table = toTable({ group, kind }, [{ metadata, ...object }], { includeObject: 'None', now });
  const cells = table.rows[0]?.cells ?? [];
  const shown = table.columnDefinitions.map(
    ({ name, priority }, index) => [name, priority, cells[index] ?? null] as const,
  );
  return Object.fromEntries(
    shown.filter(([, priority]) => wide || priority === 0).map(([name, , cell]) => [name, cell]),
  );
}

describe('tables', () => {
  it.each([
    [0, '0s'],
    [119_000, '119s'],
    [150_000, '2m30s'],
    [900_000, '15m'],
    [4 * 3_600_000, '4h'],
    [4 * 3_600_000 + 60_000, '4h1m'],
    [47 * 3_600_000, '47h'],
    [49 * 3_600_000, '2d1h'],
    [10 * 86_400_000, '10d'],
    [3 * 365 * 86_400_000, '3y'],
  ])('print %i ms as %s', (duration, text) => {
    expect(humanDuration(duration)).toBe(text);
  });

  it.each<[string, JsonObject, string, string]>([
    ['a pending pod', { spec: { containers: [{}] }, status: { phase: 'Pending' } }, '0/1', 'Pending'],
    [
      'a running pod',
      {
        spec: { containers: [{}] },
        status: { phase: 'Running', containerStatuses: [{ ready: true, state: { running: {} } }] },
      },
      '1/1',
      'Running',
    ],
    [
      'a crashing container',
      {
        spec: { containers: [{}] },
        status: {
          phase: 'Running',
          containerStatuses: [{ state: { waiting: { reason: 'CrashLoopBackOff' } } }],
        },
      },
      '0/1',
      'CrashLoopBackOff',
    ],
    [
      'a failed container',
      {
        spec: { containers: [{}] },
        status: { phase: 'Failed', containerStatuses: [{ state: { terminated: { exitCode: 3 } } }] },
      },
      '0/1',
      'ExitCode:3',
    ],
    [
      'an init container',
      {
        spec: { containers: [{}], initContainers: [{ name: 'i' }, { name: 'j' }] },
        status: {
          phase: 'Pending',
          initContainerStatuses: [
            { name: 'i', state: { terminated: { exitCode: 0 } } },
            { name: 'j', state: { running: {} } },
          ],
        },
      },
      '0/1',
      'Init:1/2',
    ],
    [
      'a failed init container',
      {
        spec: { containers: [{}], initContainers: [{ name: 'i' }] },
        status: {
          phase: 'Pending',
          initContainerStatuses: [{ name: 'i', state: { terminated: { exitCode: 1, reason: 'Error' } } }],
        },
      },
      '0/1',
      'Init:Error',
    ],
    [
      'a native sidecar',
      {
        spec: { containers: [{}], initContainers: [{ name: 'i', restartPolicy: 'Always' }] },
        status: {
          phase: 'Running',
          initContainerStatuses: [{ name: 'i', started: true, ready: true, state: { running: {} } }],
          containerStatuses: [{ ready: true, state: { running: {} } }],
        },
      },
      '2/2',
      'Running',
    ],
    [
      'a terminating pod',
      {
        metadata: { ...metadata, deletionTimestamp: 'x' },
        spec: { containers: [{}] },
        status: { phase: 'Running' },
      },
      '0/1',
      'Terminating',
    ],
    [
      'an evicted pod',
      { spec: { containers: [{}] }, status: { phase: 'Failed', reason: 'Evicted' } },
      '0/1',
      'Evicted',
    ],
  ])('show %s', (_what, pod, ready, status) => {
    expect(printed('/Pod', pod)).toMatchObject({ Ready: ready, Status: status, Restarts: '0', Age: '4m30s' });
  });

  it('say when a container was restarted last', () => {
    const containerStatuses = [
      { restartCount: 3, lastState: { terminated: { finishedAt: '2024-01-09T23:50:00Z' } } },
    ];
    expect(printed('/Pod', { status: { containerStatuses } })['Restarts']).toBe('3 (10m ago)');
  });

  it('show more with -o wide', () => {
    const pod = { spec: { nodeName: 'n1', containers: [] }, status: { podIPs: [{ ip: '10.0.0.1' }] } };
    expect(printed('/Pod', pod, true)).toMatchObject({
      IP: '10.0.0.1',
      Node: 'n1',
      'Nominated Node': '<none>',
    });
    expect(Object.keys(printed('/Pod', pod))).toEqual(['Name', 'Ready', 'Status', 'Restarts', 'Age']);
  });

  it.each<[string, JsonObject, Record<string, JsonValue>]>([
    [
      'apps/Deployment',
      { spec: { replicas: 3 }, status: { readyReplicas: 2, updatedReplicas: 3, availableReplicas: 1 } },
      { Name: 'x', Ready: '2/3', 'Up-to-date': 3, Available: 1, Age: '4m30s' },
    ],
    [
      '/Service',
      {
        spec: {
          type: 'NodePort',
          clusterIP: '10.96.0.9',
          ports: [{ port: 80, nodePort: 30_080, protocol: 'TCP' }],
        },
      },
      {
        Name: 'x',
        Type: 'NodePort',
        'Cluster-IP': '10.96.0.9',
        'External-IP': '<none>',
        'Port(s)': '80:30080/TCP',
        Age: '4m30s',
      },
    ],
    [
      'discovery.k8s.io/EndpointSlice',
      {
        addressType: 'IPv4',
        ports: [{ port: 80 }],
        endpoints: [{ addresses: ['1'] }, { addresses: ['2'] }, { addresses: ['3'] }, { addresses: ['4'] }],
      },
      { Name: 'x', AddressType: 'IPv4', Ports: '80', Endpoints: '1,2,3 + 1 more...', Age: '4m30s' },
    ],
    [
      '/Node',
      {
        metadata: { ...metadata, labels: { 'node-role.kubernetes.io/control-plane': '' } },
        spec: { unschedulable: true },
        status: { conditions: [{ type: 'Ready', status: 'True' }], nodeInfo: { kubeletVersion: 'v1' } },
      },
      { Name: 'x', Status: 'Ready,SchedulingDisabled', Roles: 'control-plane', Age: '4m30s', Version: 'v1' },
    ],
    [
      'batch/Job',
      {
        spec: { completions: 1 },
        status: {
          succeeded: 1,
          startTime: '2024-01-09T00:00:00Z',
          completionTime: '2024-01-09T00:00:05Z',
          conditions: [{ type: 'Complete', status: 'True' }],
        },
      },
      { Name: 'x', Status: 'Complete', Completions: '1/1', Duration: '5s', Age: '4m30s' },
    ],
    [
      '/Secret',
      { type: 'Opaque', data: { a: '', b: '' } },
      { Name: 'x', Type: 'Opaque', Data: 2, Age: '4m30s' },
    ],
    [
      '/Event',
      {
        lastTimestamp: '2024-01-09T23:59:00Z',
        type: 'Normal',
        reason: 'Pulled',
        involvedObject: { kind: 'Pod', name: 'p' },
        message: 'done\n',
      },
      { 'Last Seen': '60s', Type: 'Normal', Reason: 'Pulled', Object: 'pod/p', Message: 'done' },
    ],
    [
      'rbac.authorization.k8s.io/RoleBinding',
      { roleRef: { kind: 'Role', name: 'r' } },
      { Name: 'x', Role: 'Role/r', Age: '4m30s' },
    ],
    ['networking.k8s.io/IPAddress', {}, { Name: 'x', Age: '4m30s' }],
  ])('show a %s', (resource, object, cells) => {
    expect(printed(resource, object)).toEqual(cells);
  });

  it('follow the printer columns of a custom kind', () => {
    const crdColumns: JsonObject[] = [
      { name: 'Ready', type: 'string', jsonPath: '.status.conditions[?(@.type=="Ready")].status' },
      { name: 'Hosts', type: 'string', jsonPath: '.spec.hosts' },
      { name: 'Listed', type: 'string', jsonPath: '.spec.hosts[*]', priority: 1 },
      { name: 'Port', type: 'integer', jsonPath: ".spec.ports[0]['a.b']" },
      { name: 'Made', type: 'date', jsonPath: '.metadata.creationTimestamp' },
      { name: 'None', type: 'string', jsonPath: '.spec.none' },
    ];
    const object = {
      metadata,
      spec: { hosts: ['a', 'b'], ports: [{ 'a.b': 5 }] },
      status: {
        conditions: [
          { type: 'X', status: 'no' },
          { type: 'Ready', status: 'True' },
        ],
      },
    };
    const table = toTable({ group: 'example.com', kind: 'W' }, [object], {
      includeObject: 'Metadata',
      crdColumns,
      now,
    });
    expect(table.columnDefinitions.map(({ name, priority }) => [name, priority])).toEqual([
      ['Name', 0],
      ['Ready', 0],
      ['Hosts', 0],
      ['Listed', 1],
      ['Port', 0],
      ['Made', 0],
      ['None', 0],
    ]);
    expect(table.rows).toEqual([
      {
        cells: ['x', 'True', '["a","b"]', 'a,b', 5, '4m30s', null],
        object: { kind: 'PartialObjectMetadata', apiVersion: 'meta.k8s.io/v1', metadata },
      },
    ]);
  });
});
