import { LocalMesh } from './local-mesh.ts';
import { deploy, type Deployed, type Workload } from './workloads.ts';

/** A mesh with Services in namespace `shop`, and clients inside and outside of it. */
export interface Shop {
  readonly mesh: LocalMesh;
  /** Pods of namespace `shop`, by name. */
  readonly pods: ReadonlyMap<string, Deployed>;
  /** In `shop`; in another namespace of the mesh; outside of the mesh. */
  readonly client: Deployed;
  readonly stranger: Deployed;
  readonly uncaptured: Deployed;
  apply(apiVersion: string, kind: string, name: string, spec: object): Promise<string>;
  /** A policy of the Service `server`. */
  security(kind: string, name: string, spec: object): Promise<string>;
  remove(...what: readonly string[]): Promise<string>;
}

export async function openShop(name: string, more: readonly string[] = []): Promise<Shop> {
  const mesh = await LocalMesh.start({ name });
  try {
    await mesh.install('--set', 'base.gatewayAPICRDs=true');
    const ambient = { 'istio.io/dataplane-mode': 'ambient' };
    const workloads = (namespace: string, names: readonly string[]): readonly Workload[] =>
      names.map((podName, i) => ({ namespace, name: podName, node: `node-${(i % 2) + 1}` }));
    const [pods, others, plain] = await Promise.all([
      deploy(mesh, 'shop', ambient, workloads('shop', ['client', 'server-1', 'server-2', ...more])),
      deploy(mesh, 'other', ambient, workloads('other', ['client'])),
      deploy(mesh, 'plain', {}, workloads('plain', ['client'])),
    ]);
    await Promise.all([mesh.untilRedirected('shop', true), mesh.untilRedirected('other', true)]);
    const [client, stranger, uncaptured] = [pods, others, plain].map((found) => found.get('client'));
    if (client === undefined || stranger === undefined || uncaptured === undefined)
      throw new Error('a client is missing');
    const apply: Shop['apply'] = (apiVersion, kind, objectName, spec) =>
      mesh.apply(
        JSON.stringify({ apiVersion, kind, metadata: { name: objectName, namespace: 'shop' }, spec }),
      );
    return {
      ...{ mesh, pods, client, stranger, uncaptured, apply },
      security: (kind, objectName, spec) =>
        apply('security.istio.io/v1', kind, objectName, {
          targetRefs: [{ group: '', kind: 'Service', name: 'server' }],
          ...spec,
        }),
      remove: (...what) => mesh.kubectl('delete', '-n', 'shop', ...what, '--ignore-not-found'),
    };
  } catch (error) {
    await mesh.stop();
    throw error;
  }
}
