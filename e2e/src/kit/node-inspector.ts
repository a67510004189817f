import { eventually } from './eventually.ts';
import type { LocalMesh } from './local-mesh.ts';

/** A privileged pod with the node's network and folders, to see what the mesh leaves on a node. */
export class NodeInspector {
  private readonly mesh: LocalMesh;
  private readonly name: string;

  private constructor(mesh: LocalMesh, name: string) {
    this.mesh = mesh;
    this.name = name;
  }

  static async on(mesh: LocalMesh, node: string): Promise<NodeInspector> {
    const name = `inspect-${node}`;
    await mesh.apply(
      JSON.stringify({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: { name, namespace: 'default' },
        spec: {
          nodeName: node,
          hostNetwork: true,
          hostPID: true,
          terminationGracePeriodSeconds: 1,
          containers: [
            {
              name: 'shell',
              image: 'localhost/host',
              command: ['sleep', '3600'],
              securityContext: { privileged: true, runAsUser: 0 },
              volumeMounts: [
                { name: 'cni', mountPath: '/host/cni' },
                { name: 'bin', mountPath: '/host/bin' },
              ],
            },
          ],
          volumes: [
            { name: 'cni', hostPath: { path: '/etc/cni/net.d' } },
            { name: 'bin', hostPath: { path: '/opt/cni/bin' } },
          ],
        },
      }),
    );
    const inspector = new NodeInspector(mesh, name);
    await eventually(30_000, () => inspector.shell('true'));
    return inspector;
  }

  shell(script: string): Promise<string> {
    return this.mesh.exec('default', this.name, 'sh', '-c', `export PATH=$PATH:/usr/sbin:/sbin; ${script}`);
  }

  /** The node's end of the pod's link. */
  async interfaceOf(podAddress: string): Promise<string> {
    const route = await this.shell(`ip route get ${podAddress}`);
    const found = /dev (\S+)/.exec(route)?.[1];
    if (found === undefined) throw new Error(`no route to ${podAddress}: ${route}`);
    return found;
  }

  /** Everything of the mesh that can be seen on the node; empty when there is none. */
  async residue(): Promise<string> {
    const found = await this.shell(
      [
        'iptables-save | grep ISTIO',
        'iptables-legacy-save 2>/dev/null | grep ISTIO',
        'ip6tables-save | grep ISTIO',
        'ipset list -n | grep istio',
        'ip rule | grep 32764',
        'grep -l istio-cni /host/cni/*',
        'ls -A /host/bin | grep istio',
      ].join('; ') + '; true',
    );
    return found.trim();
  }
}
