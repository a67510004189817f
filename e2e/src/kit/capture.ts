import type { LocalMesh } from './local-mesh.ts';
import { eventually } from './eventually.ts';

/** What a capture on a node's network card saw. */
export interface Capture {
  /** Payload as tcpdump's ASCII. */
  readonly text: string;
  /** `source > destination` of each packet, ports included. */
  readonly flows: readonly string[];
}

/**
 * Listens on a node's card (not inside a pod) while the work goes on. It is a pod with the node's network, so it needs
 * nothing but Kubernetes; on a real node the same command does.
 */
export async function captureOnNode(
  mesh: LocalMesh,
  node: string,
  filter: string,
  work: () => Promise<void>,
): Promise<Capture> {
  const name = `capture-${node}`;
  await mesh.kubectl('delete', 'pod', name, '-n', 'default', '--ignore-not-found', '--now');
  await mesh.apply(
    JSON.stringify({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: { name, namespace: 'default' },
      spec: {
        nodeName: node,
        hostNetwork: true,
        restartPolicy: 'Never',
        terminationGracePeriodSeconds: 1,
        containers: [
          {
            name: 'tcpdump',
            image: 'localhost/host',
            // -Z root: without it tcpdump changes to a user that a rootless cluster does not have.
            command: ['tcpdump', '-i', 'eth0', '-n', '-A', '-l', '-s', '2000', '-Z', 'root', filter],
            securityContext: { runAsUser: 0, capabilities: { add: ['NET_RAW', 'NET_ADMIN'] } },
          },
        ],
      },
    }),
  );
  try {
    await eventually(30_000, async () => {
      const logs = await mesh.kubectl('logs', name, '-n', 'default');
      if (!logs.includes('listening on')) throw new Error(`tcpdump does not listen: ${logs}`);
    });
    await work();
    // tcpdump gets packets from the kernel in blocks.
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    const text = await mesh.kubectl('logs', name, '-n', 'default');
    const flows = [...text.matchAll(/ IP6? (\S+) > (\S+): /g)].map(([, from, to]) => `${from} > ${to}`);
    return { text, flows };
  } finally {
    await mesh.kubectl('delete', 'pod', name, '-n', 'default', '--now', '--wait=false');
  }
}
