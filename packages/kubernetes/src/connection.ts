import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WeftError } from '@weft/telemetry';

/** How to reach one API server, and as whom. */
export interface ClusterConnection {
  /** `https://host:port`, optionally with a path prefix; `http://` for tests and local proxies. */
  readonly server: string;
  /** Namespace for commands that name none. */
  readonly namespace: string;
  /** Name of the kubeconfig context this came from. */
  readonly context?: string;
  readonly tls: {
    readonly ca?: string;
    readonly cert?: string;
    readonly key?: string;
    readonly serverName?: string;
    readonly skipVerify?: boolean;
  };
  /** Called for every request, so that a rotated token file is picked up. */
  readonly token?: () => string;
}

export const SERVICE_ACCOUNT_DIR = '/var/run/secrets/kubernetes.io/serviceaccount';

/**
 * The connection of a pod, from its environment and mounted service account. The token is read again for each
 * request, because the kubelet replaces it.
 * @throws WEFT1014 outside a pod
 */
export function inClusterConnection(
  o: { readonly env?: Readonly<Record<string, string | undefined>>; readonly directory?: string } = {},
): ClusterConnection {
  const { env = process.env, directory = SERVICE_ACCOUNT_DIR } = o;
  const host = env['KUBERNETES_SERVICE_HOST'];
  const port = env['KUBERNETES_SERVICE_PORT'];
  if (host === undefined || host === '' || port === undefined || port === '') {
    throw new WeftError('WEFT1014', 'KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set');
  }
  const read = (file: string): string => {
    const path = join(directory, file);
    try {
      return readFileSync(path, 'utf8');
    } catch (error) {
      throw new WeftError('WEFT1014', `${path} cannot be read`, { cause: error });
    }
  };
  read('token');
  return {
    server: `https://${host.includes(':') ? `[${host}]` : host}:${port}`,
    namespace: read('namespace').trim(),
    tls: { ca: read('ca.crt') },
    token: () => read('token').trim(),
  };
}

/** True when the environment is that of a pod. */
export function isInCluster(env: Readonly<Record<string, string | undefined>> = process.env): boolean {
  return (env['KUBERNETES_SERVICE_HOST'] ?? '') !== '';
}
