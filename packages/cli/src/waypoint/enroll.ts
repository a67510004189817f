import { DataplaneMode, Label } from '@weft/api';
import { resources, type KubernetesClient } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';

export interface Enrolment {
  readonly namespace: string;
  readonly waypoint: string;
  /** Also when the namespace uses another waypoint. */
  readonly overwrite: boolean;
}

/**
 * Labels the namespace so that its services use the waypoint; returns a warning if that has no effect yet.
 * @throws WEFT1908 when it uses another waypoint already
 */
export async function enrollNamespace(
  client: Pick<KubernetesClient, 'get' | 'patch'>,
  o: Enrolment,
): Promise<string | undefined> {
  const labels = await checkEnrolment(client, o);
  if (labels[Label.useWaypoint] !== o.waypoint) {
    const patch = { metadata: { labels: { [Label.useWaypoint]: o.waypoint } } };
    await client.patch(resources.namespaces, o.namespace, undefined, patch, 'merge');
  }
  if (labels[Label.dataplaneMode] === DataplaneMode.ambient) return undefined;
  return (
    `namespace ${o.namespace} is not in the mesh, so only traffic from enrolled pods elsewhere will use the waypoint; ` +
    `enrol it with: kubectl label namespace ${o.namespace} ${Label.dataplaneMode}=${DataplaneMode.ambient}`
  );
}

/** The namespace's labels. @throws WEFT1908 */
export async function checkEnrolment(
  client: Pick<KubernetesClient, 'get'>,
  { namespace, waypoint, overwrite }: Enrolment,
): Promise<Readonly<Record<string, string>>> {
  const { metadata } = await client.get(resources.namespaces, namespace);
  const { labels = {} } = metadata;
  const current = labels[Label.useWaypoint];
  if (current === undefined || current === waypoint || overwrite) return labels;
  throw new WeftError('WEFT1908', `namespace ${namespace} uses the waypoint "${current}"`);
}
