import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CertificateAuthority, createKeyPair, privateKeyPem, type SigningRequest } from '@weft/spiffe';
import { systemErrorCode } from '@weft/telemetry';
import type { Topology } from './topology.ts';

/** Names of the files below `<stateDir>/pki`. */
export function pkiFiles(directory: string) {
  return {
    ca: join(directory, 'ca.crt'),
    caKey: join(directory, 'ca.key'),
    certificate: (name: string) => join(directory, `${name}.crt`),
    key: (name: string) => join(directory, `${name}.key`),
  };
}

export interface Pki {
  readonly caPem: string;
  readonly admin: { readonly certPem: string; readonly keyPem: string };
}

/** A cluster is for days; ten years spare it a renewal. */
const CERTIFICATE_TTL_MS = 10 * 365 * 24 * 3_600_000;

type Certificate = Omit<SigningRequest, 'publicKey' | 'ttlMs'>;

/**
 * The cluster's authority and one certificate per part. CN is the Kubernetes user, O the groups. Authority and
 * service account key are kept when they are there already, so that data of an earlier run stays readable and its
 * tokens valid; certificates are issued anew.
 */
export async function ensurePki(directory: string, topology: Topology): Promise<Pki> {
  const files = pkiFiles(directory);
  const authority = await ensureAuthority(files.ca, files.caKey);
  if ((await readIfThere(files.key('service-account'))) === undefined) {
    const { privateKey } = await createKeyPair();
    await writeFile(files.key('service-account'), privateKeyPem(privateKey), { mode: 0o600 });
  }
  const issued = await Promise.all(
    Object.entries(certificatesOf(topology)).map(async ([name, request]) => {
      const { publicKey, privateKey } = await createKeyPair();
      const { chainPem } = authority.sign({ ...request, publicKey, ttlMs: CERTIFICATE_TTL_MS });
      const keyPem = privateKeyPem(privateKey);
      await Promise.all([
        writeFile(files.certificate(name), chainPem, { mode: 0o600 }),
        writeFile(files.key(name), keyPem, { mode: 0o600 }),
      ]);
      return [name, { certPem: chainPem, keyPem }] as const;
    }),
  );
  const admin = new Map(issued).get('admin');
  if (admin === undefined) throw new Error('certificatesOf names no admin');
  return { caPem: authority.rootsPem, admin };
}

function certificatesOf(topology: Topology): Readonly<Record<string, Certificate>> {
  const client = (commonName: string, organization: string): Certificate => ({
    subject: { commonName, organizations: [organization] },
    usages: ['client'],
  });
  return {
    apiserver: {
      subject: { commonName: 'kube-apiserver' },
      usages: ['server'],
      dnsSans: [
        'kubernetes',
        'kubernetes.default',
        'kubernetes.default.svc',
        `kubernetes.default.svc.${topology.clusterDomain}`,
        'localhost',
      ],
      ipSans: ['127.0.0.1', topology.kubernetesServiceIp, topology.bridge.address],
    },
    admin: client('kubernetes-admin', 'system:masters'),
    controllers: client('system:kube-controller-manager', 'system:masters'),
    proxy: client('system:kube-proxy', 'system:node-proxier'),
    ...Object.fromEntries(
      topology.nodes.map(({ name }) => [`kubelet-${name}`, client(`system:node:${name}`, 'system:nodes')]),
    ),
  };
}

async function ensureAuthority(certFile: string, keyFile: string): Promise<CertificateAuthority> {
  const [certPem, keyPem] = await Promise.all([readIfThere(certFile), readIfThere(keyFile)]);
  if (certPem !== undefined && keyPem !== undefined) return CertificateAuthority.load({ certPem, keyPem });
  const { privateKey } = await createKeyPair();
  const authority = await CertificateAuthority.createSelfSigned({
    subject: { commonName: 'kubernetes' },
    keyPem: privateKeyPem(privateKey),
  });
  await writeFile(certFile, authority.certPem, { mode: 0o600 });
  await writeFile(keyFile, authority.keyPem, { mode: 0o600 });
  return authority;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}
