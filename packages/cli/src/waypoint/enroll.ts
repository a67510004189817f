import { DataplaneMode, Label } from '@weft/api';
import { resources, type KubernetesClient } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';

/**
 * Labels the namespace so that its services use the waypoint; returns a warning if that has no effect yet.
 * @throws WEFT1908 when it uses another waypoint already
 */
export async function enrollNamespace(
  client: Pick<KubernetesClient, 'get' | 'patch'>,
  o: { readonly namespace: string; readonly waypoint: string; readonly overwrite: boolean },
): Promise<string | undefined> {
  const namespace = await client.get(resources.namespaces, o.namespace);
  const labels = namespace.metadata.labels ?? {};
  const current = labels[Label.useWaypoint];
  if (current !== undefined && current !== o.waypoint && !o.overwrite) {
    throw new WeftError('WEFT1908', `namespace ${o.namespace} uses the waypoint "${current}"`);
  }
  if (current !== o.waypoint) {
    const patch = { metadata: { labels: { [Label.useWaypoint]: o.waypoint } } };
    await client.patch(resources.namespaces, o.namespace, undefined, patch, 'merge');
  }
  if (labels[Label.dataplaneMode] === DataplaneMode.ambient) return undefined;
  return (
    `namespace ${o.namespace} is not in the mesh, so only traffic from enrolled pods elsewhere will use the waypoint; ` +
    `enrol it with: kubectl label namespace ${o.namespace} ${Label.dataplaneMode}=${DataplaneMode.ambient}`
  );
}
