import { access } from 'node:fs/promises';
import { homedir } from 'node:os';
import path from 'node:path';
import { KubernetesClient, loadKubeConfig } from '@weft/kubernetes';
import { defaultStateDirectory } from '@weft/local-cluster';
import { WeftError } from '@weft/telemetry';

/** As kubectl has them. */
export interface ClusterOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly namespace?: string;
  readonly istioNamespace: string;
}

export interface ClusterAccess {
  readonly client: KubernetesClient;
  /** From the flag, else from the context. */
  readonly namespace: string;
  readonly istioNamespace: string;
  /** For kubectl and helm to reach the same cluster. */
  readonly environment: NodeJS.ProcessEnv;
  /** `--context` for kubectl. */
  readonly context: string | undefined;
}

/** The user's cluster: flag, KUBECONFIG, ~/.kube/config; without any of them, the local cluster. Throws WEFT1901. */
export async function accessCluster(options: ClusterOptions): Promise<ClusterAccess> {
  const environment = await clusterEnvironment(options.kubeconfig);
  const connection = loadKubeConfig({ path: options.kubeconfig, context: options.context, env: environment });
  return {
    client: new KubernetesClient(connection),
    namespace: options.namespace ?? connection.namespace ?? 'default',
    istioNamespace: options.istioNamespace,
    environment,
    context: options.context,
  };
}

/** The environment in which kubectl and helm find the same cluster as we do. */
export async function clusterEnvironment(kubeconfig: string | undefined): Promise<NodeJS.ProcessEnv> {
  if (kubeconfig !== undefined) return { ...process.env, KUBECONFIG: kubeconfig };
  if (process.env['KUBECONFIG'] !== undefined && process.env['KUBECONFIG'] !== '') return process.env;
  if (await exists(path.join(homedir(), '.kube', 'config'))) return process.env;
  const local = path.join(defaultStateDirectory(), 'kubeconfig');
  if (await exists(local)) return { ...process.env, KUBECONFIG: local };
  throw new WeftError('WEFT1901', 'there is no kubeconfig and no local cluster');
}

async function exists(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch {
    return false;
  }
}
