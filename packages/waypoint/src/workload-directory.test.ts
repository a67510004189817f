import { setImmediate as turn } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { istio } from '@weft/api/workload';
import { MAX_PEERS, WorkloadAddresses } from './workload-directory.ts';

function start(network = 'east') {
  const directory = new WorkloadAddresses(network);
  let names: readonly string[] = [];
  directory.follow((wanted) => {
    names = wanted;
  });
  return { directory, names: async () => turn().then(() => names) };
}

function push(
  directory: WorkloadAddresses,
  workloads: readonly istio.workload.Workload.$Properties[],
  removed: readonly string[] = [],
) {
  const resources = workloads.map((workload) => ({
    name: workload.uid ?? '',
    version: '1',
    bytes: istio.workload.Workload.encode(workload).finish(),
  }));
  return directory.receive({ version: '', resources, removed });
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

  it('asks for the workload behind an address when the address is met, and knows it from then on', async () => {
    const { directory, names } = start();
    expect(await names()).toEqual([]);
    expect(directory.byAddress('10.0.0.1')).toBeUndefined();
    expect(directory.byAddress('fd00::1')).toBeUndefined();
    expect(await names()).toEqual(['east/10.0.0.1', 'east/fd00::1']);
    push(directory, [web]);
    expect(directory.byAddress('10.0.0.1')).toMatchObject({
      name: 'web',
      namespace: 'shop',
      canonicalRevision: 'v1',
      identity: 'spiffe://cluster.local/ns/shop/sa/web',
    });
    expect(directory.byAddress('fd00::1')?.name).toBe('web');
    // Its end is told by its own name.
    expect(await names()).toEqual(['east/10.0.0.1', 'east/fd00::1', 'a']);
  });

  it('keeps an address with the workload that took it over, when the one before goes', () => {
    const { directory } = start();
    directory.byAddress('10.0.0.1');
    push(directory, [web]);
    push(directory, [{ ...web, uid: 'b', workloadName: 'other' }]);
    push(directory, [], ['a']);
    expect(directory.byAddress('10.0.0.1')?.name).toBe('other');
    push(directory, [], ['b', 'east/10.0.0.1']);
    expect(directory.byAddress('10.0.0.1')).toBeUndefined();
  });

  it('remembers a bounded number of peers, those that it met last', async () => {
    const { directory, names } = start();
    const address = (i: number): string => `10.1.${i >> 8}.${i & 255}`;
    directory.byAddress('10.0.0.1');
    push(directory, [web]);
    for (let i = 0; i < MAX_PEERS; i++) {
      directory.byAddress(address(i));
      if (i === MAX_PEERS / 2) directory.byAddress('10.0.0.1');
    }
    const kept = await names();
    expect(kept.length).toBeLessThanOrEqual(MAX_PEERS + 1);
    expect(kept).toContain('a');
    expect(kept).not.toContain(`east/${address(0)}`);
    expect(kept).toContain(`east/${address(MAX_PEERS - 1)}`);
    expect(directory.byAddress('10.0.0.1')?.name).toBe('web');
  });

  it('refuses what is no workload, and keeps the rest', () => {
    const { directory } = start();
    directory.byAddress('10.0.0.1');
    const rejections = push(directory, [web, { ...web, uid: 'c', serviceAccount: 'a/b' }]);
    expect(rejections.map(({ name }) => name)).toEqual(['c']);
    expect(directory.byAddress('10.0.0.1')?.name).toBe('web');
  });
});
