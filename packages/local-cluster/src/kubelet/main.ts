import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { KubernetesClient } from '@weft/kubernetes';
import { createLogger, describeError, systemClock, untilShutdown } from '@weft/telemetry';
import { loadKubeletConfig } from './config.ts';
import { Kubelet } from './kubelet.ts';

const logger = createLogger({ scope: 'kubelet' });
try {
  const config = loadKubeletConfig(process.argv[2] ?? '');
  // A plain user's PATH leaves out where `ip` and `pivot_root` are.
  process.env.PATH = `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;
  // Mounts that are made later must reach containers that ask to follow the node.
  execFileSync('mount', ['--make-rshared', '/']);
  const { url, caFile, clientCertFile, clientKeyFile } = config.apiServer;
  const read = (path: string): string => readFileSync(path, 'utf8');
  const client = new KubernetesClient({
    server: url,
    namespace: 'default',
    tls: { ca: read(caFile), cert: read(clientCertFile), key: read(clientKeyFile) },
  });
  const stop = new AbortController();
  void untilShutdown().then(() => stop.abort());
  await new Kubelet({ config, client, clock: systemClock, logger }).run(stop.signal);
  // Retries that still wait have nothing left to do.
  process.exit(0);
} catch (error) {
  logger.error('kubelet failed', { error: describeError(error) });
  process.exitCode = 1;
  // Servers and watches that already run would keep the process; the log line needs a moment to get out.
  setTimeout(() => process.exit(1), 50);
}
