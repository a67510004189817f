import { X509Certificate } from 'node:crypto';
import { certificateBlocks } from '@weft/spiffe';
import { Fields, list, text, wrong } from './config-fields.ts';

/** MeshConfig `caCertificates`: whom workloads trust besides the mesh's own authority. */
export interface TrustAnchors {
  /** Each in PEM. */
  readonly pems: readonly string[];
  /** Fields of it that have no effect, and why. */
  readonly notices: readonly string[];
}

/** With every certificate that is issued, all of them are sent. */
const MAX_ANCHORS = 100;

/**
 * A node proxy has one set of roots for all trust domains. So an anchor that is meant for other domains only can't be
 * given to it: whoever owns that root could be anybody in this mesh, too.
 * @param trustDomains the mesh's own
 * @throws with the path of what is wrong
 */
export function parseTrustAnchors(value: unknown, trustDomains: readonly string[]): TrustAnchors {
  const pems = new Set<string>();
  const notices: string[] = [];
  for (const [i, entry] of list(value ?? [], 'caCertificates').entries()) {
    const fields = new Fields(entry, `caCertificates[${i}]`);
    const domains = texts(fields, 'trustDomains');
    const pem = fields.optionalText('pem');
    const anchors = pem === undefined ? [] : parseAnchors(pem, fields.at('pem'));
    const why =
      pem === undefined
        ? bundleProblem(fields)
        : texts(fields, 'certSigners').length > 0
          ? 'it is for certificates that others sign, and istiod signs all'
          : domains.length > 0 && !domains.some((domain) => trustDomains.includes(domain))
            ? 'it is for other trust domains only, which proxies of nodes can’t tell apart'
            : undefined;
    if (why === undefined) for (const anchor of anchors) pems.add(anchor);
    else notices.push(`${fields.path} has no effect: ${why}`);
  }
  if (pems.size > MAX_ANCHORS) throw wrong('caCertificates', `are more than ${MAX_ANCHORS}`);
  return { pems: [...pems], notices };
}

function bundleProblem(fields: Fields): string {
  text(fields.value('spiffeBundleUrl'), fields.at('pem'));
  return 'bundles are not fetched';
}

function parseAnchors(pem: string, path: string): readonly string[] {
  const blocks = certificateBlocks(pem);
  if (blocks.length === 0) throw wrong(path, 'is no certificate in PEM');
  for (const block of blocks) if (!isAuthority(block, path)) throw wrong(path, 'is not of an authority');
  return blocks;
}

function isAuthority(pem: string, path: string): boolean {
  try {
    return new X509Certificate(pem).ca;
  } catch {
    throw wrong(path, 'is no certificate in PEM');
  }
}

function texts(fields: Fields, name: string): readonly string[] {
  const path = fields.at(name);
  return list(fields.value(name) ?? [], path).map((one) => text(one, path));
}
