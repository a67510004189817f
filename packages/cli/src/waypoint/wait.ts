import type { KubernetesClient } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import { gateways, programmed, programmedReason, type WaypointGateway } from './gateway.ts';

const POLL_MS = 250;

/**
 * The waypoint once it is programmed.
 * @throws WEFT1907 with the control plane's reason when it isn't in time
 */
export async function untilProgrammed(
  client: Pick<KubernetesClient, 'get'>,
  waypoint: { readonly name: string; readonly namespace: string },
  timeoutMs: number,
): Promise<WaypointGateway> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const gateway = await client.get(gateways, waypoint.name, waypoint.namespace);
    if (programmed(gateway) === 'True') return gateway;
    if (performance.now() >= deadline) {
      const { namespace, name } = waypoint;
      throw new WeftError('WEFT1907', `${namespace}/${name}: ${programmedReason(gateway)}`);
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
