import { readFileSync } from 'node:fs';
import { KubernetesClient } from '@weft/kubernetes';
import type { Topology } from '../cluster/topology.ts';

/** How a process of the cluster reaches the API server. */
export interface ApiServerAccess {
  readonly url: string;
  readonly caFile: string;
  readonly clientCertFile: string;
  readonly clientKeyFile: string;
}

/** Written by the supervisor for controllers/main.js. */
export interface ControllersConfig {
  readonly apiServer: ApiServerAccess;
  readonly topology: Topology;
}

export function clientOf(access: ApiServerAccess): KubernetesClient {
  const read = (path: string) => readFileSync(path, 'utf8');
  return new KubernetesClient({
    server: access.url,
    namespace: 'default',
    tls: { ca: read(access.caFile), cert: read(access.clientCertFile), key: read(access.clientKeyFile) },
  });
}
