import { describe, expect, it } from '@jest/globals';
import { addressOfName } from './pod-names.ts';
import { ip, service, storeOf, workload } from '../testing/records.ts';

const client = workload('client', '10.0.0.1');
const known = new Map([['example.com', [ip('192.0.2.1'), ip('2001:db8::1')]]]);
const options = {
  store: storeOf(client, service('web', '10.1.0.1')),
  clusterDomain: 'cluster.local',
  preferredServiceNamespace: undefined,
  sockets: { ipv6: true },
  hostnames: {
    resolve: (hostname: string) => {
      const found = known.get(hostname);
      return found === undefined ? Promise.reject(new Error('no such name')) : Promise.resolve(found);
    },
  },
};

describe('addressOfName', () => {
  it.each([
    ['web', 4, '10.1.0.1'],
    ['web.default.svc.cluster.local', 4, '10.1.0.1'],
    ['web', 6, undefined],
    ['example.com', 4, '192.0.2.1'],
    ['example.com', 6, '2001:db8::1'],
    ['nowhere.example', 4, undefined],
  ] as const)('%s in family %d is %s', async (name, family, expected) => {
    expect(await addressOfName({ name, family, client }, options)).toBe(expected);
  });
});
