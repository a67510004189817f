import { readFileSync, rmSync } from 'node:fs';
import { writeAtomically } from './atomic-write.ts';

/** Credentials of the agent's service account, as the plugin on the node reads them. JSON is YAML. */
export function pluginKubeconfig(o: { server: string; ca: string; token: string }): string {
  return `${JSON.stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'local',
          cluster: { server: o.server, 'certificate-authority-data': Buffer.from(o.ca).toString('base64') },
        },
      ],
      users: [{ name: 'istio-cni', user: { token: o.token } }],
      contexts: [{ name: 'istio-cni-context', context: { cluster: 'local', user: 'istio-cni' } }],
      'current-context': 'istio-cni-context',
    },
    null,
    2,
  )}\n`;
}

/** Writes the file when the token or the certificate changed; tokens are replaced several times a day. */
export class KubeconfigFile {
  private readonly path: string;
  private readonly server: string;
  private readonly serviceAccountDir: string;
  private written = '';

  constructor(o: { path: string; server: string; serviceAccountDir: string }) {
    this.path = o.path;
    this.server = o.server;
    this.serviceAccountDir = o.serviceAccountDir;
  }

  refresh(): void {
    const read = (name: string): string => readFileSync(`${this.serviceAccountDir}/${name}`, 'utf8');
    const content = pluginKubeconfig({
      server: this.server,
      ca: read('ca.crt'),
      token: read('token').trim(),
    });
    if (content === this.written) return;
    writeAtomically(this.path, content, 0o600);
    this.written = content;
  }

  remove(): void {
    rmSync(this.path, { force: true });
    this.written = '';
  }
}
