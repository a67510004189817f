import { formatAuthority } from './authority.ts';

export interface Forwarded {
  /** The original client. */
  readonly for: { readonly address: string; readonly port: number };
  /** Hostname of the service that the client addressed. */
  readonly host?: string;
}

/** `*`: the service of a wildcard. */
const validHost = /^[A-Za-z0-9._*-]+$/;

/** RFC 7239 as ztunnel writes it: `for="10.0.0.1:4000";host=name`. */
export function formatForwarded(f: Forwarded): string {
  const source = `for="${formatAuthority(f.for.address, f.for.port)}"`;
  return f.host !== undefined && validHost.test(f.host) ? `${source};host=${f.host}` : source;
}

/** The only part that a receiver uses. Undefined when it is absent, or the header isn't ASCII. */
export function parseForwarded(text: string): { readonly host: string } | undefined {
  // oxlint-disable-next-line no-control-regex -- the ASCII range
  if (!/^[\x00-\x7f]*$/.test(text)) return undefined;
  for (const part of text.split(';')) {
    const trimmed = part.trim();
    if (!trimmed.startsWith('host=')) continue;
    const host = trimmed.slice('host='.length).replace(/^"|"$/g, '');
    return host === '' ? undefined : { host };
  }
  return undefined;
}
