import { performance } from 'node:perf_hooks';
import { FakeApiServer } from '@weft/kubernetes/testing';
import { type Result, compare } from '../result.ts';
import { objectsOf, syntheticCluster } from './cluster.ts';
import { ControlPlaneProcess } from './control-plane-process.ts';
import { ZtunnelStream } from './ztunnel-stream.ts';

const STREAMS = 5_000;
const PODS = 10_000;
const TARGET = { seconds: 120, cpuMs: 20, rssMb: 2_048 } as const;
const LOOK_MS = 250;

/** As after the loss of a replica: all ztunnels of a large mesh connect at once and want everything. */
export async function* benchReconnect(): AsyncIterable<Result> {
  const api = await FakeApiServer.start();
  const cluster = syntheticCluster(PODS);
  for (const [collection, object] of objectsOf(cluster)) api.put(collection, object);
  const everything = cluster.pods.length + cluster.services.length;
  const process = new ControlPlaneProcess();
  const streams: ZtunnelStream[] = [];
  try {
    const { port } = await process.ask({ kind: 'serve', server: api.connection.server }, 'ready');
    const before = (await process.usage()).cpuMs;
    const began = performance.now();
    for (let i = 0; i < STREAMS; i++) streams.push(new ZtunnelStream(port, `node-${i}`));
    let complete = false;
    const all = Promise.all(streams.map((stream) => stream.until(everything))).then(() => (complete = true));
    let rssMb = 0;
    while (!complete) {
      rssMb = Math.max(rssMb, (await process.usage()).rssMb);
      await Promise.race([all, new Promise((resolve) => void setTimeout(resolve, LOOK_MS))]);
    }
    const seconds = (performance.now() - began) / 1_000;
    yield compare('control-plane', `reconnect-${STREAMS}-s`, 'target', [seconds], [TARGET.seconds]);
    const cpuMs = ((await process.usage()).cpuMs - before) / STREAMS;
    yield compare('control-plane', `reconnect-${STREAMS}-cpu-ms-a-stream`, 'target', [cpuMs], [TARGET.cpuMs]);
    yield compare('control-plane', `reconnect-${STREAMS}-rss-mb`, 'target', [rssMb], [TARGET.rssMb]);
  } finally {
    for (const stream of streams) stream.close();
    await process.close();
    await api.close();
  }
}
