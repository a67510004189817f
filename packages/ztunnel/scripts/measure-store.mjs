/**
 * What a mesh costs a ztunnel: `node --expose-gc packages/ztunnel/scripts/measure-store.mjs 100000` pushes so many
 * workloads, one service for every twenty, into a store while connections are being planned, and prints one JSON object:
 * memory before and after in MB, how long the push took, and how long plans had to wait meanwhile.
 */
import { readFileSync } from 'node:fs';
import { istio } from '@weft/api/workload';
import { meshSubscriptions } from '../dist/control/mesh-client.js';
import { decideOutbound } from '../dist/decide/outbound.js';
import { parseIp } from '../dist/state/ip-address.js';
import { MeshState } from '../dist/state/mesh-state.js';
import { readDeltaResponse, writeDeltaResponse, writeResource } from '../../xds/dist/delta-message.js';

const TYPE_URL = 'type.googleapis.com/istio.workload.Address';
const PODS_A_SERVICE = 20;
const count = Number(process.argv[2] ?? 100_000);
const gc = globalThis.gc;
if (gc === undefined) throw new Error('needs --expose-gc');

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const megabytes = (bytes) => Math.round(bytes / 1e5) / 10;
async function memory() {
  for (let i = 0; i < 4; i++) {
    gc();
    await sleep(50);
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rssMb: megabytes(rss), heapMb: megabytes(heapUsed), externalMb: megabytes(external) };
}

function push() {
  const resources = [];
  for (let i = 0; i < count; i++) {
    const owner = Math.floor(i / PODS_A_SERVICE);
    const namespace = `team-${owner % 200}`;
    const hostname = `backend-${owner}.${namespace}.svc.cluster.local`;
    const name = `backend-${owner}-6b7f9c5d8-${(i * 7919).toString(36)}`;
    const workload = {
      uid: `Kubernetes//Pod/${namespace}/${name}`,
      name,
      namespace,
      addresses: [Uint8Array.of(10, (i >> 16) & 255, (i >> 8) & 255, i & 255)],
      tunnelProtocol: 1,
      trustDomain: 'cluster.local',
      serviceAccount: `backend-${owner}`,
      node: `node-${i % 1000}`,
      canonicalName: `backend-${owner}`,
      canonicalRevision: 'latest',
      workloadName: `backend-${owner}`,
      clusterId: 'Kubernetes',
      locality: { region: 'region-1', zone: `zone-${i % 3}` },
      services: { [`${namespace}/${hostname}`]: { ports: [{ servicePort: 80, targetPort: 8080 }] } },
    };
    const add = (resourceName, address) => {
      const bytes = istio.workload.Address.encode(address).finish();
      resources.push(writeResource(TYPE_URL, { name: resourceName, version: String(i), bytes }, false));
    };
    add(workload.uid, { workload });
    if (i % PODS_A_SERVICE !== 0) continue;
    add(`${namespace}/${hostname}`, {
      service: {
        name: `backend-${owner}`,
        namespace,
        hostname,
        addresses: [{ network: '', address: Uint8Array.of(172, 20, owner >> 8, owner & 255) }],
        ports: [{ servicePort: 80, targetPort: 8080 }],
        canonical: true,
      },
    });
  }
  return writeDeltaResponse({ typeUrl: TYPE_URL, nonce: '1', systemVersion: '1', removed: [] }, resources);
}

const state = new MeshState();
const [addresses] = meshSubscriptions(state);
const waits = [];
/** The same in processor time of this thread, collections included: what a machine's other work doesn't change. */
const ownCpuMs = () => Number(readFileSync('/proc/self/schedstat', 'utf8').split(' ')[0]) / 1e6;
const cpu = [];
let isPushing = true;
/** What a data thread's question meets: it waits for the event loop, then for its plan. */
async function planMeanwhile() {
  while (isPushing) {
    const askedAt = performance.now();
    const cpuBefore = ownCpuMs();
    await new Promise((resolve) => setImmediate(resolve));
    const source = state.workloads.workload(`Kubernetes//Pod/team-0/backend-0-6b7f9c5d8-${(0).toString(36)}`);
    if (source === undefined) continue;
    decideOutbound(
      { source, clientIp: source.addresses[0], destination: { ip: parseIp('172.20.0.0'), port: 80 } },
      { store: state.workloads, network: '', random: Math.random },
    );
    waits.push(performance.now() - askedAt);
    cpu.push(ownCpuMs() - cpuBefore);
  }
}

async function run(signal) {
  const bytes = push();
  const messageMb = megabytes(bytes.length);
  const before = await memory();
  const planning = planMeanwhile();
  const startedAt = performance.now();
  const frame = readDeltaResponse(bytes);
  const rejections = await addresses.receive(frame, signal);
  const pushMs = Math.round(performance.now() - startedAt);
  isPushing = false;
  await planning;
  if (rejections.length > 0) throw new Error(rejections[0].reason);
  return { messageMb, before, pushMs };
}

const { messageMb, before, pushMs } = await run(new AbortController().signal);
const after = await memory();
const at = (share, times) => {
  const sorted = [...times].sort((a, b) => a - b);
  return Math.round((sorted[Math.floor(sorted.length * share)] ?? 0) * 100) / 100;
};
console.log(
  JSON.stringify({
    ...state.workloads.sizes,
    messageMb,
    before,
    after,
    // The message itself is gone by now, and was there before.
    storeMb:
      Math.round((after.heapMb + after.externalMb - before.heapMb - before.externalMb + messageMb) * 10) / 10,
    pushMs,
    plans: waits.length,
    planP50Ms: at(0.5, waits),
    planP99Ms: at(0.99, waits),
    planP99CpuMs: at(0.99, cpu),
    planMaxMs: at(0.99999, waits),
  }),
);
