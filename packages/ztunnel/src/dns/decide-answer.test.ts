import { describe, expect, it } from '@jest/globals';
import { candidateNames, podSearchDomains, withWildcards } from './candidate-names.ts';
import { decideAnswer, type AnswerContext } from './decide-answer.ts';
import type { Service, Workload } from '../state/workload.ts';
import { serviceKey } from '../state/workload.ts';
import { inService, ip, service, storeOf, workload } from '../testing/records.ts';

describe('candidate names', () => {
  const context = {
    namespace: 'shop',
    clusterDomain: 'cluster.local',
    searchDomains: podSearchDomains('shop', 'cluster.local'),
  };
  const names = (requested: string): string[] =>
    candidateNames(requested, context).map(({ name, stripped }) =>
      stripped === undefined ? name : `${name} <- ${stripped}`,
    );

  it.each<[string, string[]]>([
    ['web', ['web', 'web.shop.svc.cluster.local']],
    ['web.other', ['web.other', 'web.other.svc.cluster.local', 'web.other.shop.svc.cluster.local']],
    ['web.other.svc', ['web.other.svc', 'web.other.svc.cluster.local', 'web.other.svc.svc.cluster.local']],
    ['www.example.com', ['www.example.com', 'www.example.com.svc.cluster.local']],
    ['pod.web.shop.svc', ['pod.web.shop.svc', 'pod.web.shop.svc.cluster.local']],
    ['a.b.c.d', ['a.b.c.d']],
    [
      'web.shop.svc.cluster.local',
      ['web.shop.svc.cluster.local', 'web <- web', 'web.shop <- web.shop', 'web.shop.svc <- web.shop.svc'],
    ],
    [
      'example.com.shop.svc.cluster.local',
      [
        'example.com.shop.svc.cluster.local',
        'example.com <- example.com',
        'example.com.svc.cluster.local <- example.com',
        'example.com.shop <- example.com.shop',
        'example.com.shop.svc <- example.com.shop.svc',
      ],
    ],
    [
      'cluster.local',
      ['cluster.local', 'cluster.local.svc.cluster.local', 'cluster.local.shop.svc.cluster.local'],
    ],
  ])('of %s are, in this order', (requested, expected) => {
    expect(names(requested).filter((name) => expected.includes(name))).toEqual(expected);
  });

  it('are covered by wildcards, the closest first', () => {
    expect([...withWildcards('a.b.example.com')]).toEqual([
      'a.b.example.com',
      '*.b.example.com',
      '*.example.com',
      '*.com',
    ]);
  });
});

describe('an answer', () => {
  const client = workload('client', '10.0.0.1', { namespace: 'shop' });
  const external = (hostname: string, vip: string | undefined, more: Partial<Service> = {}): Service => ({
    ...service(hostname, vip, { namespace: 'shop', canonical: false, ...more }),
    hostname,
    key: serviceKey(more.namespace ?? 'shop', hostname),
  });
  const ask = (
    records: readonly (Service | Workload)[],
    name: string,
    family: 4 | 6 = 4,
    more: Partial<AnswerContext> = {},
  ): unknown =>
    decideAnswer(
      { name, family, client },
      {
        store: storeOf(...records),
        clusterDomain: 'cluster.local',
        searchDomains: (namespace) => podSearchDomains(namespace, 'cluster.local'),
        preferredNamespace: undefined,
        ipv6: true,
        random: () => 0.999,
        ...more,
      },
    );
  const at = (...addresses: string[]): unknown => ({
    canonicalName: undefined,
    addresses: addresses.map((address) => ip(address)),
  });
  const web = service('web', '10.96.0.1', { namespace: 'shop' });
  const dual = { ...web, vips: [...web.vips, { network: '', ip: ip('2001:db8::1') }] };

  it.each(['web', 'web.shop', 'web.shop.svc', 'web.shop.svc.cluster.local'])(
    'to %s is the address of the service',
    (name) => expect(ask([web], name)).toEqual(at('10.96.0.1')),
  );

  it('is left to the upstream for names that are not of the mesh', () => {
    expect(ask([web], 'other')).toBeUndefined();
    expect(ask([web], 'web.other.svc.cluster.local')).toBeUndefined();
    expect(
      ask([workload('web-0', '10.0.0.9', { hostname: 'web-0.example.com' })], 'web-0.example.com'),
    ).toBeUndefined();
  });

  it.each<[string, Partial<Service>, Partial<AnswerContext>, unknown]>([
    ['the IPv6 address of a dual service', {}, {}, at('2001:db8::1')],
    ['empty where the service is IPv4 only', { ipFamilies: 'IPv4' }, {}, at()],
    ['empty where IPv6 is off', {}, { ipv6: false }, at()],
    ['empty where there is no IPv6 address', { vips: web.vips }, {}, at()],
    [
      'empty where all addresses are of another network',
      { vips: [{ network: 'far', ip: ip('2001:db8::2') }] },
      {},
      at(),
    ],
  ])('to a question for IPv6 is %s', (_, more, context, expected) => {
    expect(ask([{ ...dual, ...more }], 'web', 6, context)).toEqual(expected);
  });

  describe('for a headless service', () => {
    const headless = service('db', undefined, { namespace: 'shop' });
    const pod = (name: string, address: string, more: Partial<Workload> = {}): Workload =>
      workload(name, address, { ...inService(headless), ...more });

    it('is one address of each healthy endpoint', () => {
      expect(
        ask(
          [
            headless,
            pod('db-0', '10.0.0.5', { addresses: [ip('10.0.0.5'), ip('10.0.0.55'), ip('2001:db8::5')] }),
            pod('db-1', '10.0.0.6'),
            pod('db-2', '10.0.0.7', { isHealthy: false }),
          ],
          'db',
        ),
      ).toEqual(at('10.0.0.5', '10.0.0.6'));
    });

    it('includes unhealthy ones if the service publishes them', () => {
      const loadBalancer = { mode: 'Standard', routingPreferences: [], healthPolicy: 'AllowAll' } as const;
      expect(
        ask([{ ...headless, loadBalancer }, pod('db-0', '10.0.0.5', { isHealthy: false })], 'db'),
      ).toEqual(at('10.0.0.5'));
    });

    it('is left to the upstream if it is not of Kubernetes', () => {
      expect(ask([external('db.example.com', undefined)], 'db.example.com')).toBeUndefined();
    });
  });

  it('is of the closest wildcard, under the name that was asked for', () => {
    const records = [external('*.example.com', '240.0.0.1'), external('*.a.example.com', '240.0.0.2')];
    expect(ask(records, 'x.a.example.com')).toEqual(at('240.0.0.2'));
    expect(ask(records, 'x.y.example.com')).toEqual(at('240.0.0.1'));
    expect(ask(records, 'x.y.example.com.shop.svc.cluster.local')).toEqual(at('240.0.0.1'));
    expect(ask(records, 'example.com')).toBeUndefined();
  });

  it('prefers a wildcard of the requested name to an exact match of an expansion', () => {
    const records = [external('*.shop', '240.0.0.1'), web];
    expect(ask(records, 'web.shop')).toEqual(at('240.0.0.1'));
  });

  it('names the alias where a search domain was taken off', () => {
    expect(ask([external('example.com', '240.0.0.1')], 'example.com.shop.svc.cluster.local')).toEqual({
      canonicalName: 'example.com',
      addresses: [ip('240.0.0.1')],
    });
  });

  it.each<[string, Service[], string | undefined, string | undefined]>([
    [
      'the own namespace',
      [external('h.io', '240.0.0.1', { namespace: 'b', canonical: true }), external('h.io', '240.0.0.2')],
      'b',
      '240.0.0.2',
    ],
    [
      'the canonical one',
      [
        external('h.io', '240.0.0.1', { namespace: 'a' }),
        external('h.io', '240.0.0.2', { namespace: 'b', canonical: true }),
      ],
      'a',
      '240.0.0.2',
    ],
    [
      'the preferred namespace',
      [external('h.io', '240.0.0.1', { namespace: 'a' }), external('h.io', '240.0.0.2', { namespace: 'b' })],
      'b',
      '240.0.0.2',
    ],
    [
      'the first',
      [external('h.io', '240.0.0.1', { namespace: 'a' }), external('h.io', '240.0.0.2', { namespace: 'b' })],
      undefined,
      '240.0.0.1',
    ],
    [
      'none that is not visible',
      [external('h.io', '240.0.0.1', { namespace: 'a', visibility: 'Namespace' })],
      undefined,
      undefined,
    ],
  ])('where several services have a name is that of %s', (_, records, preferredNamespace, expected) => {
    expect(ask(records, 'h.io', 4, { preferredNamespace })).toEqual(expected && at(expected));
  });

  it('comes in random order', () => {
    const many = {
      ...web,
      vips: ['10.96.0.1', '10.96.0.2', '10.96.0.3'].map((a) => ({ network: '', ip: ip(a) })),
    };
    expect(ask([many], 'web', 4, { random: () => 0.999 })).toEqual(at('10.96.0.1', '10.96.0.2', '10.96.0.3'));
    expect(ask([many], 'web', 4, { random: () => 0 })).toEqual(at('10.96.0.2', '10.96.0.3', '10.96.0.1'));
  });
});
