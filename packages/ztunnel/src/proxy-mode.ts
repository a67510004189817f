import { WeftError, type Environment } from '@weft/telemetry';
import type { LocalPod } from './state/workload-store.ts';

/** For whom this process is the proxy. */
export type ProxyMode =
  /** The pods of the node, as the CNI agent tells. */
  | { readonly kind: 'shared' }
  /** One pod, in whose network namespace the process is. */
  | { readonly kind: 'dedicated'; readonly pod: LocalPod };

/** PROXY_MODE and PROXY_WORKLOAD_INFO. @throws WEFT1001 */
export function proxyMode(env: Environment): ProxyMode {
  const kind = env.string('PROXY_MODE', 'shared');
  if (kind === 'shared') return { kind };
  if (kind !== 'dedicated')
    throw new WeftError('WEFT1001', `PROXY_MODE=${kind}: expected shared or dedicated`);
  const text = env.string('PROXY_WORKLOAD_INFO', '');
  const [namespace, name, serviceAccount, ...more] = text.split('/');
  if (!namespace || !name || !serviceAccount || more.length > 0) {
    throw new WeftError('WEFT1001', `PROXY_WORKLOAD_INFO=${text}: expected namespace/name/serviceAccount`);
  }
  return { kind, pod: { namespace, name, serviceAccount } };
}
