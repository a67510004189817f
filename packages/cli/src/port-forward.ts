import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { ClusterAccess } from './cluster-access.ts';
import { ensureKubernetesClients } from './kubernetes-clients.ts';

/** An API server or a kubelet that hangs must not hang us. */
const FORWARD_TIMEOUT_MS = 15_000;

/** Forwards a free local port to a pod's for as long as the work takes. Throws WEFT1904. */
export async function withPortForward<T>(
  access: ClusterAccess,
  pod: Pod,
  port: number,
  work: (port: number) => Promise<T>,
): Promise<T> {
  const { kubectl } = await ensureKubernetesClients();
  const args = [
    'port-forward',
    '-n',
    pod.metadata.namespace ?? '',
    pod.metadata.name ?? '',
    `:${port}`,
    '--address',
    '127.0.0.1',
  ];
  if (access.context !== undefined) args.push('--context', access.context);
  let timer: NodeJS.Timeout | undefined;
  const child = spawn(kubectl, args, { env: access.environment, stdio: ['ignore', 'pipe', 'pipe'] });
  try {
    const local = await new Promise<number>((resolve, reject) => {
      let stderr = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      createInterface({ input: child.stdout }).on('line', (line) => {
        const found = /^Forwarding from 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
        if (found !== undefined) resolve(Number(found));
      });
      timer = setTimeout(
        () =>
          reject(
            new WeftError(
              'WEFT1904',
              `port ${port} of pod ${pod.metadata.name}: not within ${FORWARD_TIMEOUT_MS} ms`,
            ),
          ),
        FORWARD_TIMEOUT_MS,
      );
      child.once('error', reject);
      child.once('close', () =>
        reject(new WeftError('WEFT1904', `port ${port} of pod ${pod.metadata.name}: ${stderr.trim()}`)),
      );
    });
    clearTimeout(timer);
    return await work(local);
  } finally {
    clearTimeout(timer);
    child.kill();
  }
}
