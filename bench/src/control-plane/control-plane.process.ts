import { cpuUsage, memoryUsage } from 'node:process';
import { readConfig, startControlPlane } from '@weft/control-plane';
import { createMesh, namespaceFacts, nodeFacts, podFacts, serviceFacts } from '@weft/control-plane/testing';
import { KubernetesClient } from '@weft/kubernetes';
import { silentLogger, systemClock } from '@weft/telemetry';
import { syntheticCluster } from './cluster.ts';
import type { Answer, Question, Usage } from './control-plane-process.ts';

/** The measured process: the whole control plane on an API server, or one full recomputation. */

function usage(): Usage {
  const { user, system } = cpuUsage();
  return { cpuMs: (user + system) / 1_000, rssMb: memoryUsage.rss() / 2 ** 20 };
}

function answer(message: Answer): void {
  process.send?.(message);
}

async function serve(server: string): Promise<void> {
  const client = new KubernetesClient({ server, namespace: 'default', tls: {} });
  const config = readConfig(
    {
      POD_NAME: 'istiod-bench',
      PLAINTEXT_XDS_PORT: '0',
      // What it takes is measured, not how long it makes clients wait.
      PILOT_MAX_REQUESTS_PER_SECOND: '100000',
      XDS_PORT: '0',
      METRICS_PORT: '0',
      WEBHOOK_PORT: '0',
      READY_PORT: '0',
    },
    'bench',
  );
  const stop = new AbortController();
  const { ports } = await startControlPlane({
    config,
    client,
    clock: systemClock,
    logger: silentLogger,
    signal: stop.signal,
  });
  answer({ kind: 'ready', port: ports.plaintextXds, usage: usage() });
}

/** What it costs to derive everything anew, once all objects are there. */
function recompute(pods: number): void {
  const mesh = createMesh();
  const cluster = syntheticCluster(pods);
  for (const namespace of cluster.namespaces)
    mesh.sources.namespaces.set(namespace.metadata.name ?? '', namespaceFacts(namespace));
  for (const node of cluster.nodes) mesh.sources.nodes.set(node.metadata.name ?? '', nodeFacts(node));
  for (const service of cluster.services) {
    const facts = serviceFacts(service);
    if (facts !== undefined) mesh.sources.services.set(`${facts.namespace}/${facts.name}`, facts);
  }
  for (const pod of cluster.pods) {
    const facts = podFacts(pod);
    mesh.sources.pods.set(`${facts.namespace}/${facts.name}`, facts);
  }
  const before = usage();
  mesh.graph.flush();
  answer({ kind: 'recomputed', cpuMs: usage().cpuMs - before.cpuMs });
}

process.on('message', (question: Question) => {
  switch (question.kind) {
    case 'usage':
      return answer({ kind: 'usage', usage: usage() });
    case 'serve':
      return void serve(question.server);
    case 'recompute':
      return recompute(question.pods);
  }
});
