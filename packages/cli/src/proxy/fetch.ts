import { readFile } from 'node:fs/promises';
import { Port } from '@weft/api';
import { isNotFound, resources, type Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { ClusterAccess } from '../cluster-access.ts';
import { withPortForward } from '../port-forward.ts';

export const PROXY_ADMIN_PORT = Port.ztunnelAdmin;
const DEPLOYMENT_KINDS = /^(?:deploy(?:ment)?s?(?:\.apps)?)\//;

/** A JSON document of a proxy's administration port. */
export async function fetchFromProxy(
  access: ClusterAccess,
  target: string,
  o: { readonly path: string; readonly port: number; readonly method?: 'GET' | 'POST' },
): Promise<string> {
  const pod = await findPod(access, target);
  return withPortForward(access, pod, o.port, async (port) => {
    const response = await fetch(`http://127.0.0.1:${port}${o.path}`, { method: o.method ?? 'GET' });
    const body = await response.text();
    if (!response.ok)
      throw new WeftError(
        'WEFT1904',
        `${o.path} of ${pod.metadata.name} answered ${response.status}: ${body}`,
      );
    return body;
  });
}

/** @throws WEFT1910 when it isn't JSON */
export async function readSaved(file: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(file, 'utf8'));
  } catch (error) {
    throw new WeftError('WEFT1910', `${file} is not a saved answer of the proxy`, { cause: error });
  }
}

/** `pod[.namespace]` or `deployment/name[.namespace]`; a waypoint's Deployment has the waypoint's name. */
async function findPod(access: ClusterAccess, target: string): Promise<Pod> {
  const { client } = access;
  const isDeployment = DEPLOYMENT_KINDS.test(target);
  const [name = '', ownNamespace] = target
    .replace(DEPLOYMENT_KINDS, '')
    .replace(/^pods?\//, '')
    .split('.');
  const namespace = ownNamespace ?? access.namespace;
  if (!isDeployment) {
    try {
      return await client.get(resources.pods, name, namespace);
    } catch (error) {
      if (isNotFound(error)) throw new WeftError('WEFT1903', `there is no pod ${namespace}/${name}`);
      throw error;
    }
  }
  const { spec } = await client.get(resources.deployments, name, namespace);
  const labels = Object.entries(spec?.selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const { items } = await client.list(resources.pods, { namespace, labelSelector: labels.join(',') });
  const pod = items.find(({ status }) => status?.phase === 'Running');
  if (pod === undefined)
    throw new WeftError('WEFT1903', `no pod of deployment ${namespace}/${name} is running`);
  return pod;
}
