import { KubernetesError } from '@weft/kubernetes';
import { WeftError } from '@weft/telemetry';

/**
 * A failure as a person at a terminal meets it: what the API server doesn't have is said with what to do about it,
 * instead of with the request that asked for it.
 */
export function explainFailure(error: unknown): unknown {
  if (!(error instanceof KubernetesError) || error.status !== 404) return error;
  const { name = '', kind = '' } = error.details ?? {};
  // An answer that names no object is about the type: nobody has defined it.
  if (name === '') return new WeftError('WEFT1911', requestedGroup(error.message));
  const namespace = /\/namespaces\/([^/:]+)\/[^/:]/.exec(error.message)?.[1];
  const where = namespace === undefined ? '' : ` in namespace ${namespace}`;
  return new WeftError('WEFT1903', `there is no ${kind.replace(/s$/, '')} "${name}"${where}`);
}

/** `gateway.networking.k8s.io` of `GET /apis/gateway.networking.k8s.io/v1/…: …`. */
function requestedGroup(message: string): string {
  const [path = ''] = message.split(': ');
  const group = /\/apis\/([^/]+)\//.exec(path)?.[1];
  return group === undefined ? path : `${group} is not defined in this cluster`;
}
