import { isNotFound, resources, type KubernetesClient, type Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';

const CONTROLLER = /^(?<kind>deploy(?:ment)?s?(?:\.apps)?|ds|daemonsets?(?:\.apps)?)\//;

/** What commands take in place of a pod. */
export const POD_ARGUMENT = 'pod[.namespace] or deployment/name[.namespace]';

/**
 * `pod[.namespace]`, or `deployment/name[.namespace]`: then one of its running pods. A waypoint's Deployment has the
 * waypoint's name.
 * @throws WEFT1903 when there is no such pod, or none of the Deployment's runs
 */
export async function podByName(
  client: Pick<KubernetesClient, 'get' | 'list'>,
  text: string,
  defaultNamespace: string,
): Promise<Pod> {
  const kind = CONTROLLER.exec(text)?.groups?.['kind'];
  const [name = '', ownNamespace] = text
    .replace(CONTROLLER, '')
    .replace(/^(?:po|pods?)\//, '')
    .split('.');
  const namespace = ownNamespace ?? defaultNamespace;
  if (kind === undefined) {
    try {
      return await client.get(resources.pods, name, namespace);
    } catch (error) {
      if (!isNotFound(error)) throw error;
      throw new WeftError(
        'WEFT1903',
        `there is no pod "${name}" in namespace ${namespace}; deploy/${name} would mean a pod of that Deployment`,
      );
    }
  }
  const controllers = kind.startsWith('deploy') ? resources.deployments : resources.daemonSets;
  const { spec } = await client.get(controllers, name, namespace);
  const labels = Object.entries(spec?.selector?.matchLabels ?? {}).map(([key, value]) => `${key}=${value}`);
  const { items } = await client.list(resources.pods, { namespace, labelSelector: labels.join(',') });
  const pod = items.find(({ status }) => status?.phase === 'Running');
  if (pod === undefined) throw new WeftError('WEFT1903', `no pod of ${kind} ${namespace}/${name} is running`);
  return pod;
}
