import { meshImages } from '@weft/cli';
import { eventually } from './eventually.ts';
import { workspace, type LocalMesh } from './local-mesh.ts';

/** What a capture on a node's network card saw, in order. */
export interface Capture {
  readonly segments: readonly CapturedSegment[];
  /** Everything that was sent, as Latin-1. */
  readonly text: string;
  /** Ports of either end, sorted. */
  readonly ports: readonly number[];
}
export interface CapturedSegment {
  readonly source: string;
  readonly sourcePort: number;
  readonly destination: string;
  readonly destinationPort: number;
  readonly text: string;
}

/** Gives the kernel and the log time to hand over the last segments. */
const SETTLE_MS = 500;

/**
 * Listens on a node's card (not inside a pod) to what two addresses say to each other while the work goes on. It is a
 * pod with the node's network, so it needs nothing but Kubernetes.
 */
export async function captureOnNode(
  mesh: LocalMesh,
  node: string,
  addresses: readonly [string, string],
  work: () => Promise<void>,
  interfaceName = 'eth0',
): Promise<Capture> {
  const name = `capture-${node}`;
  await mesh.kubectl('delete', 'pod', name, '-n', 'default', '--ignore-not-found', '--now');
  const program = `${workspace}e2e/dist/programs/capture.js`;
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
            name: 'capture',
            // Any image that sees the workspace.
            image: meshImages.images[0]?.pattern.replace('*', 'capture'),
            command: [process.execPath, program, interfaceName, ...addresses],
            securityContext: { runAsUser: 0, capabilities: { add: ['NET_RAW'] } },
          },
        ],
      },
    }),
  );
  const logs = (): Promise<string> => mesh.kubectl('logs', name, '-n', 'default');
  try {
    await eventually(30_000, async () => {
      if (!(await logs()).startsWith('listening')) throw new Error('the capture does not listen');
    });
    await work();
    await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
    const lines = (await logs()).split('\n').filter((line) => line.startsWith('{'));
    const segments = lines.map((line) => JSON.parse(line) as CapturedSegment); // printed by programs/capture.ts
    const ports = new Set(segments.flatMap((s) => [s.sourcePort, s.destinationPort]));
    return { segments, text: segments.map((s) => s.text).join(''), ports: [...ports].sort((a, b) => a - b) };
  } finally {
    await mesh.kubectl('delete', 'pod', name, '-n', 'default', '--now', '--wait=false');
  }
}
