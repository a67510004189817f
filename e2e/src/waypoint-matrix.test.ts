import { afterAll, beforeAll, describe, expect, it, jest } from '@jest/globals';
import { eventually } from './kit/eventually.ts';
import { askAll, sampleAnswer, type HttpAnswer } from './kit/http.ts';
import { LocalMesh } from './kit/local-mesh.ts';
import { deploy, type Deployed, type Workload } from './kit/workloads.ts';

const SETTLE_MS = 30_000;

jest.setTimeout(SETTLE_MS + 15_000);

/** What a waypoint serves, and whether it is in the destination's namespace: each pair has a destination of its own. */
const traffics = ['service', 'workload', 'all'] as const;
const places = ['near', 'far'] as const;
/** In the destination's namespace and in another. */
const clients = {
  captured: [
    { namespace: 'shop', name: 'client' },
    { namespace: 'other', name: 'client' },
  ],
  uncaptured: [
    { namespace: 'shop', name: 'outsider' },
    { namespace: 'plain', name: 'client' },
  ],
} as const;
type Traffic = (typeof traffics)[number];
type Place = (typeof places)[number];
type Addressed = 'VIP' | 'pod IP';

/**
 * What becomes of requests: `around` reaches the pod with nothing done to it, `refused` reaches nothing. By way of the
 * waypoint, routes and policies of the Service hold for who asked for the Service, those of the waypoint for all.
 */
type Fate = 'through as service' | 'through as pod' | 'around' | 'refused' | 'refused behind it';

/** `optional`: `weft.dev/require-waypoint` is "false", as in Istio. `required`: the default where an L7 policy is. */
interface Row extends Record<'optional' | 'required', Fate> {
  readonly traffic: Traffic;
  readonly client: keyof typeof clients;
  readonly addressed: Addressed;
}
const row = (
  traffic: Traffic,
  client: Row['client'],
  addressed: Addressed,
  optional: Fate,
  required: Fate,
): Row => ({ traffic, client, addressed, optional, required });

const matrix: readonly Row[] = [
  row('service', 'captured', 'VIP', 'through as service', 'through as service'),
  row('service', 'captured', 'pod IP', 'around', 'refused'),
  row('service', 'uncaptured', 'VIP', 'around', 'refused'),
  row('service', 'uncaptured', 'pod IP', 'around', 'refused'),
  // The Service asks for a waypoint that doesn't serve Services: there is none that traffic could have come through.
  row('workload', 'captured', 'VIP', 'around', 'refused'),
  row('workload', 'captured', 'pod IP', 'through as pod', 'refused behind it'),
  row('workload', 'uncaptured', 'VIP', 'around', 'refused'),
  row('workload', 'uncaptured', 'pod IP', 'around', 'refused'),
  row('all', 'captured', 'VIP', 'through as service', 'through as service'),
  row('all', 'captured', 'pod IP', 'through as pod', 'through as pod'),
  row('all', 'uncaptured', 'VIP', 'around', 'refused'),
  row('all', 'uncaptured', 'pod IP', 'around', 'refused'),
];
/** Everything that is seen of one way to one destination. */
interface Effects {
  readonly get: number;
  /** What the route adds to responses. */
  readonly header: string | undefined;
  readonly redirect: number;
  /** Whether the route sends requests to two versions, most to the first. */
  readonly split: 'nine to one' | 'itself' | 'nobody';
  /** Refused by the Service's policy, which allows GET and PUT. */
  readonly post: number;
  /** Refused by the waypoint's policy. */
  readonly put: number;
}
const effectsOf: Readonly<Record<Fate, Effects>> = {
  'through as service': {
    get: 200,
    header: 'yes',
    redirect: 301,
    split: 'nine to one',
    post: 403,
    put: 403,
  },
  'through as pod': { get: 200, header: undefined, redirect: 200, split: 'itself', post: 200, put: 403 },
  around: { get: 200, header: undefined, redirect: 200, split: 'itself', post: 200, put: 200 },
  // The workload's waypoint is not the Service's: it may ask, and the pod refuses.
  'refused behind it': { get: 503, header: undefined, redirect: 503, split: 'nobody', post: 503, put: 403 },
  refused: { get: 0, header: undefined, redirect: 0, split: 'nobody', post: 0, put: 0 },
};

const SPLIT_REQUESTS = 40;

interface Destination {
  readonly traffic: Traffic;
  readonly place: Place;
}
const destinations: readonly Destination[] = traffics.flatMap((traffic) =>
  places.map((place) => ({ traffic, place })),
);
const nameOf = ({ traffic, place }: Destination): string => `server-${traffic}-${place}`;
const gatewayOf = ({
  traffic,
  place,
}: Destination): { readonly name: string; readonly namespace: string } => ({
  name: `for-${traffic}`,
  namespace: place === 'near' ? 'shop' : 'gateways',
});

/** Every client and destination, by every address, once as Istio has it and once with the waypoint required. */
describe('what reaches a destination, and what of its waypoint it meets', () => {
  let mesh: LocalMesh;
  let pods: ReadonlyMap<string, Deployed>;

  async function effects(client: { namespace: string; name: string }, url: string): Promise<Effects> {
    const [get, post, put, redirect, ...split] = await askAll(mesh, { ...client, node: '' }, [
      { url },
      { url, method: 'POST' },
      { url, method: 'PUT' },
      { url: `${url}old` },
      ...Array.from({ length: SPLIT_REQUESTS }, () => ({ url: `${url}split` })),
    ]);
    return {
      get: get?.status ?? -1,
      header: get?.headers['x-routed'],
      redirect: redirect?.status ?? -1,
      split: splitOf(split),
      post: post?.status ?? -1,
      put: put?.status ?? -1,
    };
  }

  beforeAll(async () => {
    mesh = await LocalMesh.start({ name: 'matrix' });
    await mesh.install('--set', 'base.gatewayAPICRDs=true');
    const ambient = { 'istio.io/dataplane-mode': 'ambient' };
    const workloads = (namespace: string, all: readonly Omit<Workload, 'namespace' | 'node'>[]): Workload[] =>
      all.map((workload, i) => ({ ...workload, namespace, node: `node-${(i % 2) + 1}` }));
    const servers = destinations.map((at) => ({ name: nameOf(at), labels: usesWaypoint(at) }));
    const outsider = { name: 'outsider', labels: { 'istio.io/dataplane-mode': 'none' } };
    const versions = ['server-v1', 'server-v2'];
    const inShop = [...servers, ...versions.map((name) => ({ name })), { name: 'client' }, outsider];
    [pods] = await Promise.all([
      deploy(mesh, 'shop', ambient, workloads('shop', inShop)),
      deploy(mesh, 'other', ambient, workloads('other', [{ name: 'client' }])),
      deploy(mesh, 'plain', {}, workloads('plain', [{ name: 'client' }])),
      mesh.kubectl('create', 'namespace', 'gateways'),
    ]);
    await mesh.applyAll([
      ...destinations.flatMap(objectsOf),
      ...versions.map((name) => service(name, {})),
      servicePolicy,
    ]);
    await Promise.all([
      mesh.weft('waypoint', 'status', '-n', 'shop'),
      mesh.weft('waypoint', 'status', '-n', 'gateways'),
      mesh.untilRedirected('shop', true, 'role=server'),
      mesh.untilRedirected('shop', true, 'app=client'),
      mesh.untilRedirected('other', true),
    ]);
  }, 240_000);
  afterAll(() => mesh?.stop(), 60_000);

  describe.each(['optional', 'required'] as const)('with a waypoint that is %s', (demand) => {
    beforeAll(async () => {
      const label = `weft.dev/require-waypoint${demand === 'required' ? '-' : '=false'}`;
      await mesh.kubectl('label', 'service', '-n', 'shop', '--all', '--overwrite', label);
    });

    it.each(matrix.map((row) => ({ ...row, fate: row[demand] })))(
      'waypoint of traffic to $traffic, $client client, by $addressed: $fate',
      async ({ traffic, client, addressed, fate }) => {
        const ways = places.flatMap((place) => {
          const name = nameOf({ traffic, place });
          const url = addressed === 'VIP' ? `http://${name}.shop/` : `http://${pods.get(name)?.ip}:8080/`;
          return clients[client].map((from) => ({ from, url, title: `${place}, from ${from.namespace}` }));
        });
        await eventually(SETTLE_MS, async () => {
          const found = await Promise.all(ways.map(({ from, url }) => effects(from, url)));
          expect(Object.fromEntries(ways.map(({ title }, i) => [title, found[i]]))).toEqual(
            Object.fromEntries(ways.map(({ title }) => [title, effectsOf[fate]])),
          );
        });
      },
    );
  });
});

function splitOf(answers: readonly HttpAnswer[]): Effects['split'] {
  const by = answers.filter(({ status }) => status === 200).map((answer) => sampleAnswer(answer).pod);
  if (by.length === 0) return 'nobody';
  const second = by.filter((pod) => pod === 'server-v2').length;
  const isSplit = by.every((pod) => pod === 'server-v1' || pod === 'server-v2');
  // Five standard deviations of 40 draws around 4.
  return isSplit && second > 0 && second < SPLIT_REQUESTS / 3 ? 'nine to one' : 'itself';
}

/** The same on the pod and its Service: what the waypoint serves decides which of the two it is for. */
function usesWaypoint(at: Destination): Readonly<Record<string, string>> {
  const { name, namespace } = gatewayOf(at);
  return { 'istio.io/use-waypoint': name, 'istio.io/use-waypoint-namespace': namespace };
}

function service(name: string, labels: Readonly<Record<string, string>>): object {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name, namespace: 'shop', labels },
    spec: { selector: { app: name }, ports: [{ name: 'http', port: 80, targetPort: 8080 }] },
  };
}

function objectsOf(at: Destination): readonly object[] {
  const name = nameOf(at);
  const gateway = gatewayOf(at);
  const allowedRoutes = at.place === 'near' ? {} : { allowedRoutes: { namespaces: { from: 'All' } } };
  const prefix = (value: string): object => ({ matches: [{ path: { type: 'PathPrefix', value } }] });
  const mark = {
    type: 'ResponseHeaderModifier',
    responseHeaderModifier: { add: [{ name: 'x-routed', value: 'yes' }] },
  };
  return [
    service(name, usesWaypoint(at)),
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'Gateway',
      metadata: { ...gateway, labels: { 'istio.io/waypoint-for': at.traffic } },
      spec: {
        gatewayClassName: 'istio-waypoint',
        listeners: [{ name: 'mesh', port: 15008, protocol: 'HBONE', ...allowedRoutes }],
      },
    },
    {
      apiVersion: 'gateway.networking.k8s.io/v1',
      kind: 'HTTPRoute',
      metadata: { name, namespace: 'shop' },
      spec: {
        parentRefs: [{ group: '', kind: 'Service', name, port: 80 }],
        rules: [
          {
            ...prefix('/old'),
            filters: [
              { type: 'RequestRedirect', requestRedirect: { hostname: 'new.example', statusCode: 301 } },
            ],
          },
          {
            ...prefix('/split'),
            backendRefs: [
              { name: 'server-v1', port: 80, weight: 90 },
              { name: 'server-v2', port: 80, weight: 10 },
            ],
          },
          { filters: [mark], backendRefs: [{ name, port: 80 }] },
        ],
      },
    },
    {
      apiVersion: 'security.istio.io/v1',
      kind: 'AuthorizationPolicy',
      metadata: { name: gateway.name, namespace: gateway.namespace },
      spec: {
        targetRefs: [{ group: 'gateway.networking.k8s.io', kind: 'Gateway', name: gateway.name }],
        action: 'DENY',
        rules: [{ to: [{ operation: { methods: ['PUT'] } }] }],
      },
    },
  ];
}

const servicePolicy = {
  apiVersion: 'security.istio.io/v1',
  kind: 'AuthorizationPolicy',
  metadata: { name: 'no-post', namespace: 'shop' },
  spec: {
    targetRefs: destinations.map((at) => ({ group: '', kind: 'Service', name: nameOf(at) })),
    action: 'ALLOW',
    rules: [{ to: [{ operation: { methods: ['GET', 'PUT'] } }] }],
  },
};
