import { stringify } from 'yaml';

export interface KubeconfigInput {
  readonly clusterName: string;
  readonly server: string;
  readonly caPem: string;
  readonly clientCertPem: string;
  readonly clientKeyPem: string;
}

/** A kubeconfig with everything inline, so that the file can be copied anywhere. */
export function renderKubeconfig(input: KubeconfigInput): string {
  const name = `weft-${input.clusterName}`;
  const base64 = (pem: string) => Buffer.from(pem).toString('base64');
  return stringify(
    {
      apiVersion: 'v1',
      kind: 'Config',
      'current-context': name,
      clusters: [
        { name, cluster: { server: input.server, 'certificate-authority-data': base64(input.caPem) } },
      ],
      contexts: [{ name, context: { cluster: name, user: name, namespace: 'default' } }],
      users: [
        {
          name,
          user: {
            'client-certificate-data': base64(input.clientCertPem),
            'client-key-data': base64(input.clientKeyPem),
          },
        },
      ],
    },
    { lineWidth: 0 },
  );
}
