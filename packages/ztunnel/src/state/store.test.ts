import { describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import { WeftError } from '@weft/telemetry';
import fc from 'fast-check';
import { Cidr, ipFromBytes, parseIp, parseSocketAddress } from './ip-address.ts';
import { MeshState, type AddressChange } from './mesh-state.ts';
import { policyFromMessage } from './policy-message.ts';
import { PolicyStore } from './policy-store.ts';
import { serviceFromMessage } from './service-message.ts';
import { workloadFromMessage } from './workload-message.ts';
import { inService, ip, policy, service, storeOf, workload } from '../testing/records.ts';
import type { Service, Workload, WorkloadUid } from './workload.ts';
import { WorkloadStore } from './workload-store.ts';

describe('addresses', () => {
  it.each([
    ['::ffff:10.0.0.1', '10.0.0.1'],
    ['10.0.0.1', '10.0.0.1'],
    ['2001:DB8:0::1', '2001:db8::1'],
    ['10.0.0', undefined],
    ['fe80::1%eth0', undefined],
    ['web', undefined],
  ])('read %s as %s', (text, expected) => expect(parseIp(text)).toBe(expected));

  it.each([
    ['10.0.0.1:80', { ip: '10.0.0.1', port: 80 }],
    ['[2001:db8::1]:80', { ip: '2001:db8::1', port: 80 }],
    ['2001:db8::1:80', undefined],
    ['[10.0.0.1]:80', undefined],
    ['10.0.0.1:', undefined],
    ['10.0.0.1:99999', undefined],
  ])('with a port read %s as %j', (text, expected) => expect(parseSocketAddress(text)).toEqual(expected));

  it('are in a prefix exactly when their first bits are', () => {
    const bytes = fc.uint8Array({ minLength: 4, maxLength: 4 });
    fc.assert(
      fc.property(bytes, bytes, fc.integer({ min: 0, max: 32 }), (a, b, length) => {
        const bits = (x: Uint8Array): string =>
          [...x]
            .map((v) => v.toString(2).padStart(8, '0'))
            .join('')
            .slice(0, length);
        expect(new Cidr(a, length).contains(ipFromBytes(b) ?? ip('0.0.0.0'))).toBe(bits(a) === bits(b));
      }),
    );
  });
});

describe('WorkloadStore', () => {
  it('prefers a pod, then what can be tunnelled to, among workloads of one address', () => {
    const entry = workload('entry', '10.0.0.1', {
      uid: 'Kubernetes/networking.istio.io/WorkloadEntry/d/e' as WorkloadUid,
    });
    const plainPod = workload('plain', '10.0.0.1', { protocol: 'TCP' });
    const pod = workload('pod', '10.0.0.1');
    expect(storeOf(entry, plainPod, pod).workloadAt('', ip('10.0.0.1'))?.name).toBe('pod');
    expect(storeOf(entry, plainPod).workloadAt('', ip('10.0.0.1'))?.name).toBe('plain');
  });

  it('lets no entry take the address of a service, nor any service that of a pod', () => {
    const victim = service('web', '10.1.0.1');
    const entry = (address: string) =>
      workload('entry', address, { uid: 'Kubernetes/networking.istio.io/WorkloadEntry/d/e' as WorkloadUid });
    const ownerOf = (...records: readonly (Workload | Service)[]) => {
      const owner = storeOf(...records).ownerOf('', ip('10.1.0.1'), 'default');
      return owner?.kind === 'service' ? owner.service.key : owner?.workload.uid;
    };
    expect(ownerOf(entry('10.1.0.1'), victim)).toBe(victim.key);
    const pod = workload('pod', '10.1.0.1');
    expect(ownerOf(pod, victim)).toBe(pod.uid);
    expect(ownerOf(entry('10.1.0.1'))).toBe(entry('10.1.0.1').uid);
  });

  it('stands any number of workloads and services that claim the same', () => {
    const store = new WorkloadStore();
    const uid = (i: number): WorkloadUid => `u${i}` as WorkloadUid;
    const many = 10_000;
    const cidrVips = [{ network: '', cidr: new Cidr(Uint8Array.of(10, 2, 0, 0), 16) }];
    for (let i = 0; i < many; i++) {
      store.upsertWorkload(workload('same', '10.0.0.1', { uid: uid(i), hostname: 'h' }));
      store.upsertService(service('web', '10.1.0.1', { namespace: `n${i}`, hostname: 'h', cidrVips }));
    }
    expect(store.workloadAt('', ip('10.0.0.1'))?.uid).toBe(uid(0));
    expect(store.serviceAt('', ip('10.2.9.9'), 'n7')?.namespace).toBe('n7');
    for (let i = 0; i < many - 1; i++) store.removeWorkload(uid(i));
    expect(store.workloadAt('', ip('10.0.0.1'))?.uid).toBe(uid(many - 1));
    store.removeWorkload(uid(many - 1));
    expect(store.workloadAt('', ip('10.0.0.1'))).toBeUndefined();
  });

  it('does not find host-network workloads by address', () => {
    expect(
      storeOf(workload('h', '10.0.0.1', { networkMode: 'HostNetwork' })).workloadAt('', ip('10.0.0.1')),
    ).toBeUndefined();
  });

  it('keeps networks apart', () => {
    const store = storeOf(workload('far', '10.0.0.1', { network: 'far' }));
    expect(store.workloadAt('', ip('10.0.0.1'))).toBeUndefined();
    expect(store.workloadAt('far', ip('10.0.0.1'))?.name).toBe('far');
  });

  it('finds the endpoints of a service whichever comes first', () => {
    const web = service('web', '10.1.0.1');
    const pod = workload('web-1', '10.0.0.1', inService(web));
    for (const store of [storeOf(web, pod), storeOf(pod, web)])
      expect([...store.endpoints(web.key)]).toEqual([pod]);
    expect([...storeOf(pod).stagedServices().keys()]).toEqual([web.key]);
  });

  it('prefers, for one VIP, the service of the namespace of the client, then the canonical one', () => {
    const own = service('a', '10.1.0.1', { namespace: 'own', canonical: false });
    const canonical = service('b', '10.1.0.1', { namespace: 'other' });
    const store = storeOf(service('c', '10.1.0.1', { namespace: 'third', canonical: false }), canonical, own);
    expect(store.serviceAt('', ip('10.1.0.1'), 'own')?.name).toBe('a');
    expect(store.serviceAt('', ip('10.1.0.1'), 'stranger')?.name).toBe('b');
  });

  it('finds a service by the longest of its ranges, and by an exact address before any', () => {
    const range = (name: string, length: number, more = {}): ReturnType<typeof service> =>
      service(name, undefined, {
        cidrVips: [{ network: '', cidr: new Cidr(Uint8Array.of(10, 2, 0, 0), length) }],
        ...more,
      });
    const store = storeOf(
      range('wide', 8),
      range('narrow', 16),
      range('mine', 12, { namespace: 'own' }),
      service('exact', '10.2.0.1'),
    );
    expect(store.serviceAt('', ip('10.2.3.4'), 'default')?.name).toBe('narrow');
    expect(store.serviceAt('', ip('10.2.3.4'), 'own')?.name).toBe('mine');
    expect(store.serviceAt('', ip('10.2.0.1'), 'default')?.name).toBe('exact');
    expect(store.serviceAt('', ip('11.0.0.1'), 'default')).toBeUndefined();
  });

  it('finds a pod of this node only', () => {
    const store = storeOf(workload('p', '10.0.0.1', { node: 'node-1' }));
    const pod = { name: 'p', namespace: 'default', serviceAccount: 'p' };
    expect(store.localWorkload(pod, 'node-1')?.name).toBe('p');
    expect(store.localWorkload(pod, 'node-2')).toBeUndefined();
    expect(store.localWorkload(pod, '')?.name).toBe('p');
  });

  it('ends in the same state whatever happened before', () => {
    const web = service('web', '10.1.0.1');
    const variants = [0, 1, 2, 3].map((i) =>
      workload(`w${i % 2}`, `10.0.0.${i}`, i < 2 ? inService(web) : { protocol: 'TCP', node: 'node-2' }),
    );
    const step = fc.oneof(
      fc
        .nat({ max: 3 })
        .map((i): AddressChange => ({ kind: 'workload', workload: variants[i] ?? workload('x', undefined) })),
      fc.nat({ max: 1 }).map((i): AddressChange => ({ kind: 'removed', name: variants[i]?.uid ?? '' })),
      fc.constantFrom<AddressChange>({ kind: 'service', service: web }, { kind: 'removed', name: web.key }),
    );
    fc.assert(
      fc.property(fc.array(step), (steps) => {
        const state = new MeshState();
        for (const change of steps) state.applyAddresses([change]);
        const rest = [...state.workloads.allWorkloads()];
        const fresh = storeOf(...rest, ...state.workloads.allServices());
        for (let i = 0; i < 4; i++) {
          expect(state.workloads.workloadAt('', ip(`10.0.0.${i}`))).toBe(
            fresh.workloadAt('', ip(`10.0.0.${i}`)),
          );
        }
        expect(new Set(state.workloads.endpoints(web.key))).toEqual(new Set(fresh.endpoints(web.key)));
        expect(state.workloads.serviceAt('', ip('10.1.0.1'), '')).toBe(
          fresh.serviceAt('', ip('10.1.0.1'), ''),
        );
        for (const w of rest) expect(state.workloads.localWorkload(w, w.node)).toBe(w);
      }),
    );
  });
});

describe('PolicyStore', () => {
  it('applies global, namespace and listed policies, and names those it does not know', () => {
    const store = new PolicyStore();
    store.upsert(policy('istio-system/g', { scope: 'Global' }));
    store.upsert(policy('default/n'));
    store.upsert(policy('other/n'));
    store.upsert(policy('default/selected', { scope: 'WorkloadSelector' }));
    store.upsert(policy('default/not-listed', { scope: 'WorkloadSelector' }));
    const { policies, unknown } = store.candidates(
      workload('w', '10.0.0.1', { authorizationPolicies: ['default/selected', 'default/unknown'] }),
    );
    expect(policies.map(({ key }) => key)).toEqual(['istio-system/g', 'default/n', 'default/selected']);
    expect(unknown).toEqual(['default/unknown']);
  });

  it('forgets the old scope of a policy', () => {
    const store = new PolicyStore();
    store.upsert(policy('default/p'));
    store.upsert(policy('default/p', { scope: 'WorkloadSelector' }));
    expect(store.candidates(workload('w', '10.0.0.1')).policies).toEqual([]);
  });
});

describe('conversion', () => {
  const code = (work: () => unknown): string => {
    try {
      work();
    } catch (error) {
      return WeftError.is(error) ? `${error.code} ${error.message}` : String(error);
    }
    return 'accepted';
  };

  it('fills in what an empty workload means', () => {
    const made = workloadFromMessage(istio.workload.Workload.create({ uid: 'u' }));
    expect(made).toMatchObject({
      trustDomain: 'cluster.local',
      serviceAccount: 'default',
      clusterId: 'Kubernetes',
      capacity: 1,
      protocol: 'TCP',
      workloadType: 'deployment',
    });
  });

  it.each<[string, () => unknown, string]>([
    ['a workload without uid', () => workloadFromMessage(istio.workload.Workload.create({})), 'WEFT1301'],
    [
      'LEGACY_ISTIO_MTLS',
      () => workloadFromMessage(istio.workload.Workload.create({ uid: 'u', tunnelProtocol: 2 })),
      'tunnel_protocol 2',
    ],
    [
      'an address of 5 bytes',
      () => workloadFromMessage(istio.workload.Workload.create({ uid: 'u', addresses: [new Uint8Array(5)] })),
      '5 bytes',
    ],
    [
      'a prefix that is too long',
      () =>
        serviceFromMessage(
          istio.workload.Service.create({
            hostname: 'h',
            addresses: [{ address: new Uint8Array(4), length: 33 }],
          }),
        ),
      'prefix length 33',
    ],
    [
      'an unknown balancing mode',
      () =>
        serviceFromMessage(istio.workload.Service.create({ hostname: 'h', loadBalancing: { mode: 9 as 0 } })),
      'load_balancing.mode 9',
    ],
    [
      'an unknown policy action',
      () => policyFromMessage(istio.security.Authorization.create({ name: 'p', action: 7 as 0 })),
      'WEFT1401',
    ],
    [
      'a service port that is none',
      () =>
        serviceFromMessage(
          istio.workload.Service.create({ hostname: 'h', ports: [{ servicePort: 65_536 }] }),
        ),
      'ports: no port: 65536',
    ],
    [
      'a port of an endpoint that is none',
      () =>
        workloadFromMessage(
          istio.workload.Workload.create({
            uid: 'u',
            services: { 'n/h': { ports: [{ servicePort: 80, targetPort: 4_294_967_295 }] } },
          }),
        ),
      'services: n/h: no port: 4294967295',
    ],
    [
      'a port of a waypoint that is none',
      () =>
        serviceFromMessage(
          istio.workload.Service.create({
            hostname: 'h',
            waypoint: { address: { address: new Uint8Array(4) }, hboneMtlsPort: 70_000 },
          }),
        ),
      'waypoint: hbone_mtls_port 70000',
    ],
  ])('refuses %s and names it', (_, work, expected) => {
    expect(code(work)).toContain(expected);
  });

  it('takes an address once, however often it is said', () => {
    const address = Uint8Array.of(10, 0, 0, 1);
    const addresses = Array.from({ length: 20_000 }, () => ({ address }));
    const ranges = Array.from({ length: 20_000 }, () => ({ address, length: 8 }));
    const found = serviceFromMessage(
      istio.workload.Service.create({ hostname: 'h', addresses: [...addresses, ...ranges] }),
    );
    expect([found.vips.length, found.cidrVips.length]).toEqual([1, 1]);
    const pod = workloadFromMessage(
      istio.workload.Workload.create({ uid: 'u', addresses: [address, address] }),
    );
    expect(pod.addresses).toEqual(['10.0.0.1']);
  });

  it('keeps no reference to the bytes of the message', () => {
    const bytes = Uint8Array.of(10, 0, 0, 1);
    const made = workloadFromMessage(istio.workload.Workload.create({ uid: 'u', addresses: [bytes] }));
    bytes.fill(0);
    expect(made.addresses).toEqual(['10.0.0.1']);
  });

  it.each<[string, (bytes: Uint8Array) => () => unknown, RegExp]>([
    [
      'a workload',
      (bytes) => {
        const message = istio.workload.Workload.decode(bytes);
        return () => workloadFromMessage(message);
      },
      /^(accepted|WEFT1301)/,
    ],
    [
      'a service',
      (bytes) => {
        const message = istio.workload.Service.decode(bytes);
        return () => serviceFromMessage(message);
      },
      /^(accepted|WEFT1302)/,
    ],
    [
      'a policy',
      (bytes) => {
        const message = istio.security.Authorization.decode(bytes);
        return () => policyFromMessage(message);
      },
      /^(accepted|WEFT1401)/,
    ],
  ])('accepts or refuses with a code whatever decodes as %s', (_, decode, expected) => {
    // Fields of small numbers and lengths that fit: most of random bytes would be no protobuf at all.
    const field = fc
      .tuple(fc.integer({ min: 1, max: 30 }), fc.uint8Array({ maxLength: 20 }))
      .map(([number, bytes]) => Uint8Array.of(((number << 3) | 2) & 0x7f, bytes.length, ...bytes));
    const fields = fc.array(field, { maxLength: 8 }).map((all) => Uint8Array.from(Buffer.concat(all)));
    fc.assert(
      fc.property(fc.oneof(fields, fc.uint8Array({ maxLength: 200 })), (bytes) => {
        let convert: () => unknown;
        try {
          convert = decode(bytes);
        } catch {
          return; // not protobuf; the transport's business
        }
        expect(code(convert)).toMatch(expected);
      }),
      { numRuns: 1_500 },
    );
  });
});
