import { isDeepStrictEqual } from 'node:util';
import {
  objectKey,
  resources,
  type Endpoint,
  type EndpointSlice,
  type Pod,
  type Service,
  type ServicePort,
} from '@weft/kubernetes';
import {
  contentHash,
  controllerReference,
  endpointsType,
  type EndpointAddress,
  type Endpoints,
  type EndpointSubset,
} from './objects.ts';
import { isFinished, isReady, isTerminating } from './pods.ts';
import { isOf, nothing, splitKey, type ClusterView, type Controller, type Write } from './reconcile.ts';

export const SERVICE_NAME = 'kubernetes.io/service-name';
export const MANAGED_BY = 'endpointslice.kubernetes.io/managed-by';
const MANAGER = 'endpointslice-controller.k8s.io';
const HEADLESS = 'service.kubernetes.io/headless';
/** Kubernetes' own number; more endpoints make more slices. */
export const MAX_ENDPOINTS_PER_SLICE = 100;

export const endpointsController: Controller = {
  name: 'endpoints',

  keysFor(change, view) {
    if (isOf(change, resources.services)) return [objectKey(change.object)];
    const { namespace } = change.object.metadata;
    if (isOf(change, resources.endpointSlices)) {
      const service = change.object.metadata.labels?.[SERVICE_NAME];
      return service === undefined ? [] : [`${namespace}/${service}`];
    }
    if (isOf(change, endpointsType)) return [objectKey(change.object)];
    if (isOf(change, resources.pods)) {
      // By labels as they are now: a pod that left a selector is found through the slice that still lists it.
      const { labels } = change.object.metadata;
      const listed = view
        .list(resources.endpointSlices, namespace)
        .filter((slice) => slice.endpoints?.some((e) => e.targetRef?.uid === change.object.metadata.uid))
        .map((slice) => `${namespace}/${slice.metadata.labels?.[SERVICE_NAME] ?? ''}`);
      const selecting = view
        .list(resources.services, namespace)
        .filter((service) => selects(service, labels))
        .map(objectKey);
      return new Set([...selecting, ...listed]);
    }
    return [];
  },

  reconcile(key, view) {
    const { namespace, name } = splitKey(key);
    const service = view.get(resources.services, name, namespace);
    if (service === undefined || isTerminating(service) || service.spec?.selector === undefined)
      return nothing;
    const members = membersOf(service, view);
    return { writes: [...sliceWrites(service, members, view), ...endpointsWrites(service, members, view)] };
  },
};

function selects(service: Service, labels: Readonly<Record<string, string>> = {}): boolean {
  const selector = Object.entries(service.spec?.selector ?? {});
  return selector.length > 0 && selector.every(([key, value]) => labels[key] === value);
}

/** A pod behind a Service, with the service's ports as they are on that pod. */
interface Member {
  readonly ip: string;
  readonly endpoint: Endpoint;
  readonly ports: NonNullable<EndpointSlice['ports']>;
}

function membersOf(service: Service, view: ClusterView): readonly Member[] {
  const { namespace } = service.metadata;
  return view
    .list(resources.pods, namespace)
    .filter((pod) => selects(service, pod.metadata.labels) && !isFinished(pod))
    .flatMap((pod): readonly Member[] => {
      const ip = pod.status?.podIP;
      if (ip === undefined || ip === '') return [];
      return [
        { ip, endpoint: endpointOf(pod, ip, service, view), ports: portsOn(pod, service.spec?.ports ?? []) },
      ];
    })
    .sort((a, b) => (a.ip < b.ip ? -1 : 1));
}

function endpointOf(pod: Pod, ip: string, service: Service, view: ClusterView): Endpoint {
  const serving = isReady(pod);
  const terminating = isTerminating(pod);
  const publish = service.spec?.publishNotReadyAddresses === true;
  const { nodeName } = pod.spec ?? {};
  const zone =
    nodeName === undefined
      ? undefined
      : view.get(resources.nodes, nodeName)?.metadata.labels?.['topology.kubernetes.io/zone'];
  const hostname = pod.spec?.['subdomain'] === service.metadata.name ? pod.spec?.['hostname'] : undefined;
  return {
    addresses: [ip],
    conditions: { ready: publish || (serving && !terminating), serving: publish || serving, terminating },
    ...(typeof hostname === 'string' ? { hostname } : {}),
    ...(nodeName === undefined ? {} : { nodeName }),
    ...(zone === undefined ? {} : { zone }),
    targetRef: {
      kind: 'Pod',
      namespace: pod.metadata.namespace ?? '',
      name: pod.metadata.name ?? '',
      uid: pod.metadata.uid ?? '',
    },
  };
}

/** A named target port may be another number on each pod, and missing on some. */
function portsOn(pod: Pod, ports: readonly ServicePort[]): Member['ports'] {
  return ports.flatMap((port) => {
    const { targetPort = port.port, protocol = 'TCP', name = '', appProtocol } = port;
    const number = typeof targetPort === 'number' ? targetPort : namedPort(pod, targetPort, protocol);
    return number === undefined
      ? []
      : [{ name, port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) }];
  });
}

function namedPort(pod: Pod, name: string, protocol: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  const sidecars = (pod.spec?.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === 'Always');
  return [...(pod.spec?.containers ?? []), ...sidecars]
    .flatMap(({ ports = [] }) => ports)
    .find((port) => port.name === name && (port.protocol ?? 'TCP') === protocol)?.containerPort;
}

function sliceWrites(service: Service, members: readonly Member[], view: ClusterView): readonly Write[] {
  const wanted = new Map(slicesOf(service, members).map((slice) => [slice.metadata.name ?? '', slice]));
  const writes: Write[] = [];
  for (const slice of view.list(resources.endpointSlices, service.metadata.namespace)) {
    const labels = slice.metadata.labels ?? {};
    if (labels[SERVICE_NAME] !== service.metadata.name || labels[MANAGED_BY] !== MANAGER) continue;
    const { name = '', namespace } = slice.metadata;
    const next = wanted.get(name);
    wanted.delete(name);
    if (next === undefined) writes.push({ kind: 'delete', type: resources.endpointSlices, object: slice });
    else if (
      !isDeepStrictEqual(slice.endpoints ?? [], next.endpoints) ||
      !isDeepStrictEqual(labels, next.metadata.labels)
    ) {
      const patch = { metadata: { labels: next.metadata.labels }, endpoints: next.endpoints };
      writes.push({ kind: 'patch', type: resources.endpointSlices, name, namespace, patch });
    }
  }
  for (const object of wanted.values())
    writes.push({ kind: 'create', type: resources.endpointSlices, object });
  return writes;
}

/** One slice per distinct set of ports, cut at the limit; names follow from the ports, so they stay. */
function slicesOf(service: Service, members: readonly Member[]): readonly EndpointSlice[] {
  const byPorts = new Map<string, Member[]>();
  for (const member of members) {
    const key = contentHash(member.ports, 5);
    const group = byPorts.get(key);
    if (group === undefined) byPorts.set(key, [member]);
    else group.push(member);
  }
  // A Service without endpoints keeps an empty slice, so that watchers can tell "none" from "not yet known".
  if (byPorts.size === 0) byPorts.set(contentHash([], 5), []);
  return [...byPorts].flatMap(([key, group]) => {
    const chunks = Math.max(1, Math.ceil(group.length / MAX_ENDPOINTS_PER_SLICE));
    return Array.from({ length: chunks }, (_, index): EndpointSlice => {
      const part = group.slice(index * MAX_ENDPOINTS_PER_SLICE, (index + 1) * MAX_ENDPOINTS_PER_SLICE);
      return {
        metadata: {
          name: `${service.metadata.name}-${key}${index === 0 ? '' : `-${index}`}`,
          ...(service.metadata.namespace === undefined ? {} : { namespace: service.metadata.namespace }),
          labels: {
            ...service.metadata.labels,
            [SERVICE_NAME]: service.metadata.name ?? '',
            [MANAGED_BY]: MANAGER,
            ...(service.spec?.clusterIP === 'None' ? { [HEADLESS]: '' } : {}),
          },
          ownerReferences: [controllerReference(resources.services, service)],
        },
        addressType: 'IPv4',
        endpoints: part.map(({ endpoint }) => endpoint),
        ports: group[0]?.ports ?? [],
      };
    });
  });
}

/** The Endpoints API is deprecated, yet some clients still read it. */
function endpointsWrites(service: Service, members: readonly Member[], view: ClusterView): readonly Write[] {
  const { name = '', namespace, labels = {} } = service.metadata;
  const subsets = subsetsOf(members);
  const existing = view.get(endpointsType, name, namespace);
  if (existing === undefined) {
    const object: Endpoints = {
      metadata: { name, ...(namespace === undefined ? {} : { namespace }), labels },
      subsets,
    };
    return [{ kind: 'create', type: endpointsType, object }];
  }
  if (isDeepStrictEqual(existing.subsets ?? [], subsets)) return [];
  return [{ kind: 'patch', type: endpointsType, name, namespace, patch: { subsets } }];
}

function subsetsOf(members: readonly Member[]): readonly EndpointSubset[] {
  const byPorts = new Map<
    string,
    { ready: EndpointAddress[]; notReady: EndpointAddress[]; member: Member }
  >();
  for (const member of members) {
    if (member.endpoint.conditions?.terminating === true) continue;
    const key = contentHash(member.ports);
    const subset = byPorts.get(key) ?? { ready: [], notReady: [], member };
    byPorts.set(key, subset);
    const { nodeName, hostname, targetRef } = member.endpoint;
    const address: EndpointAddress = {
      ip: member.ip,
      ...(hostname === undefined ? {} : { hostname }),
      ...(nodeName === undefined ? {} : { nodeName }),
      ...(targetRef === undefined
        ? {}
        : {
            targetRef: {
              kind: 'Pod',
              namespace: targetRef.namespace ?? '',
              name: targetRef.name ?? '',
              uid: targetRef.uid ?? '',
            },
          }),
    };
    (member.endpoint.conditions?.ready === true ? subset.ready : subset.notReady).push(address);
  }
  return [...byPorts.values()].map(({ ready, notReady, member }) => ({
    ...(ready.length > 0 ? { addresses: ready } : {}),
    ...(notReady.length > 0 ? { notReadyAddresses: notReady } : {}),
    ports: member.ports.map(({ name, port = 0, protocol = 'TCP' }) => ({
      ...(name === undefined || name === '' ? {} : { name }),
      port,
      protocol,
    })),
  }));
}
