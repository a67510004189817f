import { describe, expect, it } from '@jest/globals';
import { decode, encode, type Packet } from 'dns-packet';
import fc from 'fast-check';
import { resources, type EndpointSlice, type Pod, type Service } from '@weft/kubernetes';
import { staticView } from '../controllers/testing/static-view.ts';
import { clusterRecords } from './cluster-records.ts';
import { answer } from './dns-server.ts';

const service = (name: string, spec: Service['spec']): Service => ({
  metadata: { name, namespace: 'shop' },
  spec: spec ?? {},
});
const slice: EndpointSlice = {
  metadata: { name: 'db-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'db' } },
  addressType: 'IPv4',
  ports: [{ name: 'sql', port: 5432, protocol: 'TCP' }],
  endpoints: [
    { addresses: ['10.244.0.5'], hostname: 'db-0', conditions: { ready: true } },
    { addresses: ['10.244.1.6'], conditions: { ready: true } },
    { addresses: ['10.244.1.7'], conditions: { ready: false } },
  ],
};
const pod: Pod = { metadata: { name: 'p', namespace: 'shop' } };
const view = staticView(
  [resources.namespaces, { metadata: { name: 'shop' } }],
  [
    resources.services,
    service('web', {
      clusterIP: '10.96.0.7',
      clusterIPs: ['10.96.0.7'],
      ports: [{ name: 'http', port: 80 }],
    }),
  ],
  [
    resources.services,
    service('db', { clusterIP: 'None', clusterIPs: ['None'], ports: [{ name: 'sql', port: 5432 }] }),
  ],
  [resources.services, service('ext', { type: 'ExternalName', externalName: 'example.org' })],
  [resources.endpointSlices, slice],
  [resources.pods, pod],
);
const records = clusterRecords(view, { domain: 'cluster.local', podCidr: '10.244.0.0/16' });

function ask(name: string, type: 'A' | 'AAAA' | 'SRV' | 'PTR' | 'CNAME' = 'A'): Packet & { rcode?: string } {
  const query = encode({ type: 'query', id: 7, flags: 0x100, questions: [{ type, name, class: 'IN' }] });
  const reply = answer(query, records, 'cluster.local', 'udp');
  if (reply === undefined) throw new Error('no reply');
  return decode(reply);
}

const data = (packet: Packet) =>
  packet.answers?.map((record) => ('data' in record ? record.data : undefined));

describe('cluster DNS', () => {
  const cases: readonly [string, 'A' | 'AAAA' | 'SRV' | 'PTR' | 'CNAME', readonly unknown[]][] = [
    ['web.shop.svc.cluster.local', 'A', ['10.96.0.7']],
    ['WEB.shop.svc.Cluster.local', 'A', ['10.96.0.7']],
    ['web.shop.svc.cluster.local', 'AAAA', []],
    ['db.shop.svc.cluster.local', 'A', ['10.244.0.5', '10.244.1.6']],
    ['db-0.db.shop.svc.cluster.local', 'A', ['10.244.0.5']],
    ['10-244-1-6.db.shop.svc.cluster.local', 'A', ['10.244.1.6']],
    ['ext.shop.svc.cluster.local', 'A', ['example.org']],
    ['10-244-3-4.shop.pod.cluster.local', 'A', ['10.244.3.4']],
    ['7.0.96.10.in-addr.arpa', 'PTR', ['web.shop.svc.cluster.local']],
    ['5.0.244.10.in-addr.arpa', 'PTR', ['db-0.db.shop.svc.cluster.local']],
    [
      '_http._tcp.web.shop.svc.cluster.local',
      'SRV',
      [{ priority: 0, weight: 100, port: 80, target: 'web.shop.svc.cluster.local' }],
    ],
    [
      '_sql._tcp.db.shop.svc.cluster.local',
      'SRV',
      [
        { priority: 0, weight: 100, port: 5432, target: 'db-0.db.shop.svc.cluster.local' },
        { priority: 0, weight: 100, port: 5432, target: '10-244-1-6.db.shop.svc.cluster.local' },
      ],
    ],
  ];
  it.each(cases)('answers %s %s', (name, type, expected) => {
    const reply = ask(name, type);
    expect(reply.rcode).toBe('NOERROR');
    expect(data(reply)).toEqual(expected);
  });

  it.each([
    'nobody.shop.svc.cluster.local',
    'web.nowhere.svc.cluster.local',
    'x.web.shop.svc.cluster.local',
    '_other._tcp.web.shop.svc.cluster.local',
    'example.org',
    '9.9.9.9.in-addr.arpa',
  ])('says that %s does not exist, with the SOA that bounds the negative answer', (name) => {
    const reply = ask(name);
    expect(reply.rcode).toBe('NXDOMAIN');
    expect(reply.authorities?.[0]?.type).toBe('SOA');
  });

  it('keeps the spelling of the question', () => {
    expect(ask('wEb.shop.svc.cluster.local').answers?.[0]?.name).toBe('wEb.shop.svc.cluster.local');
  });

  it('truncates over UDP what does not fit, and sends it whole over TCP', () => {
    const many = () =>
      Array.from({ length: 60 }, (_, i) => ({ name: 'x', type: 'A' as const, ttl: 5, data: `10.0.0.${i}` }));
    const query = encode({ type: 'query', id: 1, questions: [{ type: 'A', name: 'x', class: 'IN' }] });
    const overUdp = decode(answer(query, many, 'cluster.local', 'udp') ?? Buffer.alloc(0));
    expect(overUdp.answers).toHaveLength(0);
    expect((overUdp.flags ?? 0) & 0x200).toBe(0x200);
    expect(decode(answer(query, many, 'cluster.local', 'tcp') ?? Buffer.alloc(0)).answers).toHaveLength(60);
  });

  it('survives any bytes, and never answers an answer', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
        const reply = answer(Buffer.from(bytes), records, 'cluster.local', 'udp');
        if ((bytes[2] ?? 0) & 0x80) expect(reply).toBeUndefined();
      }),
      { numRuns: 2_000 },
    );
  });
});
