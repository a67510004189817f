import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { CA_SECRET, CA_SECRET_TYPE } from '@weft/api';
import { type KubernetesClient, type Secret, isConflict, isNotFound, resources } from '@weft/kubernetes';
import { CertificateAuthority, RevocationLists } from '@weft/spiffe';
import {
  WeftError,
  describeError,
  systemClock,
  systemErrorCode,
  type Clock,
  type Logger,
} from '@weft/telemetry';
import type { ConfiguredAuthority } from './mesh-authority.ts';

export interface LoadedAuthority extends ConfiguredAuthority {
  readonly origin: 'plugged in' | 'self-signed';
}

export interface LoadOptions {
  readonly client: Pick<KubernetesClient, 'get' | 'create' | 'replace'>;
  readonly namespace: string;
  /** Where the Secret `cacerts` is mounted; without files there the root is self-signed. */
  readonly directory: string;
  readonly clock?: Clock;
  readonly signal: AbortSignal;
}

/** A self-signed root is certified anew, with its key, in the last fifth of its life. */
const RENEWAL_SHARE = 0.2;

const SELF_SIGNED_ORGANIZATION = 'cluster.local';
const CERT_KEY = 'ca-cert.pem';
const KEY_KEY = 'ca-key.pem';
const CRL_FILE = 'ca-crl.pem';

/** @throws WEFT1801 or WEFT1802 for an authority that is there but can't be used: never is another one made then. */
export async function loadAuthority(options: LoadOptions): Promise<LoadedAuthority> {
  return (await loadPluggedIn(options.directory)) ?? loadSelfSigned(options);
}

const RETRY_MS = 1_000;
/** What another attempt doesn't mend. */
const brokenAuthority: ReadonlySet<string> = new Set(['WEFT1801', 'WEFT1802', 'WEFT1809']);

/** An API server that doesn't answer yet is waited for; an authority that is broken is not. */
export async function patiently<T>(
  load: () => Promise<T>,
  { clock, logger, signal }: { readonly clock: Clock; readonly logger: Logger; readonly signal: AbortSignal },
): Promise<T> {
  for (;;) {
    try {
      return await load();
    } catch (error) {
      if (signal.aborted || (WeftError.is(error) && brokenAuthority.has(error.code))) throw error;
      logger.warn('cannot load the certificate authority, retrying', { error: describeError(error) });
      await clock.sleep(RETRY_MS, signal);
    }
  }
}

/**
 * Istio's file names, or those of a kubernetes.io/tls Secret as cert-manager writes it; undefined without any.
 * @throws WEFT1801
 */
export async function loadPluggedIn(directory: string): Promise<LoadedAuthority | undefined> {
  const read = (name: string): Promise<string | undefined> => readOptional(join(directory, name));
  const [caCert, caKey, chain, root, tlsCert, tlsKey, tlsRoot, crlPem = ''] = await Promise.all(
    [CERT_KEY, KEY_KEY, 'cert-chain.pem', 'root-cert.pem', 'tls.crt', 'tls.key', 'ca.crt', CRL_FILE].map(
      read,
    ),
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
    RevocationLists.parse(Buffer.from(crlPem));
    const authority = CertificateAuthority.load({ certPem, keyPem, rootsPem, chainPem });
    return { authority, crlPem, origin: 'plugged in' };
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

/**
 * The root in the Secret, made or renewed if it is time. Replicas that do so together all try to write; the API server
 * lets one, and the others read what that one wrote.
 */
export async function loadSelfSigned(options: LoadOptions): Promise<LoadedAuthority> {
  const { client, namespace, clock = systemClock, signal } = options;
  const read = async (): Promise<Secret> => client.get(resources.secrets, CA_SECRET, namespace, { signal });
  const present = await read().catch((error: unknown) => {
    if (isNotFound(error)) return undefined;
    throw error;
  });
  const known = present === undefined ? undefined : fromSecret(present, namespace);
  if (known !== undefined && !isDue(known, clock)) return selfSigned(known);
  const subject = { organizations: [SELF_SIGNED_ORGANIZATION] };
  const keyPem = known === undefined ? {} : { keyPem: known.keyPem };
  const authority = await CertificateAuthority.createSelfSigned({ subject, clock, ...keyPem });
  const secret = toSecret(authority, namespace);
  try {
    if (present === undefined) await client.create(resources.secrets, secret, { signal });
    else
      await client.replace(
        resources.secrets,
        { ...present, data: { ...present.data, ...secret.data } },
        { signal },
      );
    return selfSigned(authority);
  } catch (error) {
    if (!isConflict(error)) throw error;
    return selfSigned(fromSecret(await read(), namespace));
  }
}

function selfSigned(authority: CertificateAuthority): LoadedAuthority {
  return { authority, crlPem: '', origin: 'self-signed' };
}

function isDue({ notAfter, certificate }: CertificateAuthority, clock: Clock): boolean {
  const lifetimeMs = notAfter.getTime() - Date.parse(certificate.validFrom);
  return notAfter.getTime() - clock.now() < lifetimeMs * RENEWAL_SHARE;
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
