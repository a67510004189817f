import { readFile } from 'node:fs/promises';
import { Port } from '@weft/api';
import type { Pod } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';
import type { ClusterAccess } from '../cluster-access.ts';
import { podByName } from '../pod-by-name.ts';
import { withPortForward } from '../port-forward.ts';

export const PROXY_ADMIN_PORT = Port.ztunnelAdmin;
/** A dump of a waypoint with thousands of routes takes seconds; one that hangs must not hang us. */
const FETCH_TIMEOUT_MS = 30_000;

interface AdminRequest {
  readonly path: string;
  readonly port: number;
  readonly method?: 'GET' | 'POST';
}

/** The answer of a proxy's administration port. Throws WEFT1903, WEFT1904. */
export async function fetchFromProxy(
  access: ClusterAccess,
  target: string,
  request: AdminRequest,
): Promise<string> {
  return fetchFromPod(access, await podByName(access.client, target, access.namespace), request);
}

/** The same of a pod that is known. Throws WEFT1904, or WEFT1909 when the proxy doesn't take the value of a flag. */
export async function fetchFromPod(access: ClusterAccess, pod: Pod, o: AdminRequest): Promise<string> {
  return withPortForward(access, pod, o.port, async (port) => {
    const what = `${o.path} of ${pod.metadata.name}, port ${o.port}`;
    try {
      const response = await fetch(`http://127.0.0.1:${port}${o.path}`, {
        method: o.method ?? 'GET',
        signal: AbortSignal.timeout(FETCH_TIMEOUT_MS),
      });
      const body = await response.text();
      // The path is ours, the value in it the user's.
      if (response.status === 400) throw new WeftError('WEFT1909', `${pod.metadata.name}: ${body.trim()}`);
      if (!response.ok)
        throw new WeftError('WEFT1904', `${what} answered ${response.status}: ${body.trim()}`);
      return body;
    } catch (error) {
      throw WeftError.is(error) ? error : new WeftError('WEFT1904', what, { cause: error });
    }
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
