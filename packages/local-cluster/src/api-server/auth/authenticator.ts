import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { TLSSocket } from 'node:tls';
import { unauthorized } from '../api-error.ts';
import type { ServiceAccountTokens } from './service-account-tokens.ts';
import { ANONYMOUS, AUTHENTICATED_GROUP, type User } from './user.ts';

export interface StaticToken {
  readonly token: string;
  readonly user: string;
  readonly groups: readonly string[];
}

/** Client certificates first, then bearer tokens; without either the user is anonymous. A bad token is 401. */
export class Authenticator {
  private readonly tokens: ServiceAccountTokens;
  private readonly staticTokens: readonly { readonly digest: Buffer; readonly user: User }[];

  constructor(tokens: ServiceAccountTokens, staticTokens: readonly StaticToken[]) {
    this.tokens = tokens;
    this.staticTokens = staticTokens.map(({ token, user, groups }) => ({
      digest: digestOf(token),
      user: { name: user, groups: [...groups, AUTHENTICATED_GROUP], extra: {} },
    }));
  }

  authenticate(socket: TLSSocket, headers: IncomingHttpHeaders): User {
    const fromCertificate = certificateUser(socket);
    if (fromCertificate !== undefined) return fromCertificate;
    const token = bearerToken(headers);
    if (token === undefined) return ANONYMOUS;
    const digest = digestOf(token);
    const known = this.staticTokens.find((entry) => timingSafeEqual(entry.digest, digest));
    if (known !== undefined) return known.user;
    const verdict = this.tokens.verify(token, this.tokens.apiAudiences);
    if (verdict.kind === 'invalid') throw unauthorized();
    return verdict.user;
  }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest();
}

/** The header, or the subprotocol that browsers use because they can't set headers on a WebSocket. */
function bearerToken(headers: IncomingHttpHeaders): string | undefined {
  const match = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '');
  if (match !== null) return match[1];
  const protocol = /(?:^|,)\s*base64url\.bearer\.authorization\.k8s\.io\.([\w-]+)/.exec(
    headers['sec-websocket-protocol'] ?? '',
  );
  return protocol?.[1] === undefined ? undefined : Buffer.from(protocol[1], 'base64url').toString('utf8');
}

/** CN is the user, each O a group. `authorized` means that the chain ends in the cluster's CA. */
function certificateUser(socket: TLSSocket): User | undefined {
  if (!socket.authorized) return undefined;
  const subject = socket.getPeerCertificate().subject as { CN?: unknown; O?: unknown } | undefined; // typed too narrowly: repeated attributes come as arrays
  if (typeof subject?.CN !== 'string') return undefined;
  const organisations = [subject.O].flat().filter((group) => typeof group === 'string');
  return { name: subject.CN, groups: [...organisations, AUTHENTICATED_GROUP], extra: {} };
}
