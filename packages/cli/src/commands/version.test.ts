import { expect, it } from '@jest/globals';
import type { Pod } from '@weft/kubernetes';
import { runningVersions } from './version.ts';

const pod = (image: string, phase = 'Running'): Pod =>
  ({ metadata: { name: 'p' }, spec: { containers: [{ name: 'c', image }] }, status: { phase } }) as Pod; // what is read of it

it('counts the pods that run each version, without those that do not run', () => {
  const pods = [pod('weft/ztunnel:1.0'), pod('weft/ztunnel:1.1'), pod('weft/proxyv2:1.0')];
  expect(runningVersions([...pods, pod('weft/ztunnel:1.1', 'Pending')])).toEqual([
    { version: '1.0', pods: 2 },
    { version: '1.1', pods: 1 },
  ]);
});
