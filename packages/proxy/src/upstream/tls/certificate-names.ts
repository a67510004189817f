import type { X509Certificate } from 'node:crypto';

export interface CertificateNames {
  readonly uri: readonly string[];
  readonly dns: readonly string[];
  readonly email: readonly string[];
  readonly ip: readonly string[];
}

const KINDS: Readonly<Record<string, keyof CertificateNames>> = {
  URI: 'uri',
  DNS: 'dns',
  email: 'email',
  'IP Address': 'ip',
};
/** `DNS:a.example, URI:"spiffe://a\u002c b"`: Node writes a value as a JSON string when it could mislead. */
const ENTRY = /^([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,"]*)(?:, |$)/;

/** The subject alternative names. A list that can't be read exactly counts as empty: it certifies nothing. */
export function certificateNames(certificate: Pick<X509Certificate, 'subjectAltName'>): CertificateNames {
  const names = { uri: [] as string[], dns: [] as string[], email: [] as string[], ip: [] as string[] };
  let rest = certificate.subjectAltName ?? '';
  while (rest !== '') {
    const [whole, kind, value] = ENTRY.exec(rest) ?? [];
    if (whole === undefined || kind === undefined || value === undefined)
      return { uri: [], dns: [], email: [], ip: [] };
    const known = KINDS[kind];
    const text = unquoted(value);
    if (text === undefined) return { uri: [], dns: [], email: [], ip: [] };
    if (known !== undefined) names[known].push(text);
    rest = rest.slice(whole.length);
  }
  return names;
}

function unquoted(value: string): string | undefined {
  if (!value.startsWith('"')) return value;
  try {
    const parsed: unknown = JSON.parse(value);
    return typeof parsed === 'string' ? parsed : undefined;
  } catch {
    return undefined;
  }
}
