import { describe, expect, it } from '@jest/globals';
import { TypeUrl } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { istio } from '@weft/api/workload';
import { WorkloadAddresses } from './workload-directory.ts';

const { Resource } = envoy.service.discovery.v3;

function push(
  directory: WorkloadAddresses,
  workloads: readonly istio.workload.Workload.$Properties[],
  removed: readonly string[] = [],
) {
  const resources = workloads.map((workload) =>
    Resource.encode({
      name: workload.uid ?? '',
      version: '1',
      resource: { type_url: TypeUrl.workload, value: istio.workload.Workload.encode(workload).finish() },
    }).finish(),
  );
  const frame = { typeUrl: TypeUrl.workload, nonce: 'n', systemVersion: '', removed, resources };
  return directory.subscription.receive(frame, new AbortController().signal);
}

describe('WorkloadAddresses', () => {
  const web = {
    uid: 'a',
    name: 'web-1',
    workloadName: 'web',
    namespace: 'shop',
    serviceAccount: 'web',
    canonicalName: 'web',
    canonicalRevision: 'v1',
    addresses: [Uint8Array.of(10, 0, 0, 1), Uint8Array.from([0xfd, ...Array<number>(14).fill(0), 1])],
  };

  it('finds a workload by each of its addresses', async () => {
    const directory = new WorkloadAddresses();
    await push(directory, [web]);
    expect(directory.byAddress('10.0.0.1')).toMatchObject({
      name: 'web',
      namespace: 'shop',
      canonicalRevision: 'v1',
      identity: 'spiffe://cluster.local/ns/shop/sa/web',
    });
    expect(directory.byAddress('fd00::1')?.name).toBe('web');
    expect(directory.byAddress('10.0.0.2')).toBeUndefined();
  });

  it('keeps an address with the workload that took it over, when the one before goes', async () => {
    const directory = new WorkloadAddresses();
    await push(directory, [web]);
    await push(directory, [{ ...web, uid: 'b', workloadName: 'other' }]);
    await push(directory, [], ['a']);
    expect(directory.byAddress('10.0.0.1')?.name).toBe('other');
    await push(directory, [], ['b']);
    expect(directory.byAddress('10.0.0.1')).toBeUndefined();
  });

  it('refuses what is no workload, and keeps the rest', async () => {
    const directory = new WorkloadAddresses();
    const rejections = await push(directory, [web, { ...web, uid: 'c', serviceAccount: 'a/b' }]);
    expect(rejections.map(({ name }) => name)).toEqual(['c']);
    expect(directory.byAddress('10.0.0.1')?.name).toBe('web');
  });
});
