import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CA_SECRET, CA_SECRET_TYPE } from '@weft/api';
import { type KubernetesClient, type Secret, isConflict, isNotFound, resources } from '@weft/kubernetes';
import { CertificateAuthority } from '@weft/spiffe';
import { WeftError, systemErrorCode } from '@weft/telemetry';

export interface LoadedAuthority {
  readonly authority: CertificateAuthority;
  readonly origin: 'plugged in' | 'self-signed';
}

interface LoadOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create'>;
  readonly namespace: string;
  /** Where the Secret `cacerts` is mounted; without files there the root is self-signed. */
  readonly directory: string;
  readonly signal: AbortSignal;
}

const SELF_SIGNED_ORGANIZATION = 'cluster.local';
const CERT_KEY = 'ca-cert.pem';
const KEY_KEY = 'ca-key.pem';

/** @throws WEFT1801 or WEFT1802 for an authority that is there but can't be used: never is another one made then. */
export async function loadAuthority(options: LoadOptions): Promise<LoadedAuthority> {
  const pluggedIn = await loadPluggedIn(options.directory);
  if (pluggedIn !== undefined) return { authority: pluggedIn, origin: 'plugged in' };
  return { authority: await loadSelfSigned(options), origin: 'self-signed' };
}

/** Istio's file names, or those of a kubernetes.io/tls Secret as cert-manager writes it. */
async function loadPluggedIn(directory: string): Promise<CertificateAuthority | undefined> {
  const read = (name: string): Promise<string | undefined> => readOptional(join(directory, name));
  const [caCert, caKey, chain, root, tlsCert, tlsKey, tlsRoot] = await Promise.all(
    [CERT_KEY, KEY_KEY, 'cert-chain.pem', 'root-cert.pem', 'tls.crt', 'tls.key', 'ca.crt'].map(read),
  );
  const istio = { certPem: caCert, keyPem: caKey, rootsPem: root, chainPem: chain };
  const tls = { certPem: tlsCert, keyPem: tlsKey, rootsPem: tlsRoot, chainPem: tlsCert };
  const present = [istio, tls].find((files) => Object.values(files).some((text) => text !== undefined));
  if (present === undefined) return undefined;
  const { certPem, keyPem, rootsPem, chainPem } = present;
  if (certPem === undefined || keyPem === undefined || rootsPem === undefined || chainPem === undefined) {
    const names =
      present === istio
        ? 'ca-cert.pem, ca-key.pem, cert-chain.pem, root-cert.pem'
        : 'tls.crt, tls.key, ca.crt';
    throw new WeftError('WEFT1801', `${directory} holds some, but not all, of ${names}`);
  }
  try {
    return CertificateAuthority.load({ certPem, keyPem, rootsPem, chainPem });
  } catch (error) {
    throw new WeftError('WEFT1801', `the files in ${directory} cannot be used`, { cause: error });
  }
}

async function readOptional(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemErrorCode(error) === 'ENOENT') return undefined;
    throw new WeftError('WEFT1801', `${path} cannot be read`, { cause: error });
  }
}

/** Replicas that start together all try to create the Secret; the API server lets one, and the others read it. */
async function loadSelfSigned({ client, namespace, signal }: LoadOptions): Promise<CertificateAuthority> {
  const read = async (): Promise<CertificateAuthority> =>
    fromSecret(await client.get(resources.secrets, CA_SECRET, namespace, { signal }), namespace);
  try {
    return await read();
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
  const authority = await CertificateAuthority.createSelfSigned({
    subject: { organizations: [SELF_SIGNED_ORGANIZATION] },
  });
  try {
    await client.create(resources.secrets, toSecret(authority, namespace), { signal });
    return authority;
  } catch (error) {
    if (!isConflict(error)) throw error;
    return read();
  }
}

function toSecret({ certPem, keyPem }: CertificateAuthority, namespace: string): Secret {
  const base64 = (text: string): string => Buffer.from(text).toString('base64');
  return {
    metadata: { name: CA_SECRET, namespace },
    type: CA_SECRET_TYPE,
    data: { [CERT_KEY]: base64(certPem), [KEY_KEY]: base64(keyPem) },
  };
}

function fromSecret({ data = {} }: Secret, namespace: string): CertificateAuthority {
  const text = (key: string): string => Buffer.from(data[key] ?? '', 'base64').toString('utf8');
  try {
    return CertificateAuthority.load({ certPem: text(CERT_KEY), keyPem: text(KEY_KEY) });
  } catch (error) {
    throw new WeftError('WEFT1802', `Secret ${namespace}/${CA_SECRET} cannot be used`, { cause: error });
  }
}
