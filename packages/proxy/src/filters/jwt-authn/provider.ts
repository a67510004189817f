import type { envoy } from '@weft/api/envoy';
import type { HeaderMap, MetadataStruct, MetadataValue } from '../../engine/types.ts';
import { at, compileStringMatcher, invalid, type StringPredicate } from '../../matching/index.ts';
import { durationMs } from '../message.ts';
import { verifySignature, type JwksSource } from './jwks.ts';
import { audiencesOf, JwtFailure, parseJwt, type ParsedJwt } from './token.ts';
import { tokenLocations, type TokenLocation } from './token-location.ts';

type Config = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.$Properties;

const DEFAULT_CLOCK_SKEW_S = 60;
/** HTTP/1 field names; a header that couldn't be sent would fail every request instead of this configuration. */
const HEADER_NAME = /^[-!#$%&'*+.^_`|~0-9A-Za-z]+$/;

export interface JwtProvider {
  readonly name: string;
  readonly issuer: string;
  readonly locations: readonly TokenLocation[];
  /** Headers that only this provider may set. */
  readonly ownedHeaders: readonly string[];
  readonly clearRouteCache: boolean;
  readonly failedStatusInMetadata: string;
  /** `audiences` replaces the provider's own list when given. */
  verify(
    token: string,
    audiences: readonly string[] | undefined,
    nowMs: number,
  ): Promise<ParsedJwt | JwtFailure>;
  /** What a verified token does to the request: headers, and a Struct for dynamic metadata. */
  publish(jwt: ParsedJwt, headers: HeaderMap): MetadataStruct;
  close(): void;
}

export function compileProvider(name: string, config: Config, jwks: JwksSource): JwtProvider {
  const issuer = config.issuer ?? '';
  const subjects: StringPredicate | undefined = config.subjects
    ? at('subjects', () => compileStringMatcher(config.subjects ?? {}))
    : undefined;
  const maxLifetimeMs = durationMs(config.maxLifetime);
  const skewMs = (config.clockSkewSeconds || DEFAULT_CLOCK_SKEW_S) * 1000;
  const ownAudiences = config.audiences ?? [];
  const locations = tokenLocations(config);

  const checkClaims = (
    claims: MetadataStruct,
    audiences: readonly string[],
    nowMs: number,
  ): JwtFailure | 'ok' => {
    const { iss, sub, exp, nbf, iat } = claims;
    if (issuer !== '' && iss !== issuer) return JwtFailure.issuer;
    if (subjects !== undefined && !(typeof sub === 'string' && subjects(sub))) return JwtFailure.subject;
    if (typeof nbf === 'number' && nowMs + skewMs < nbf * 1000) return JwtFailure.notYetValid;
    if (typeof exp === 'number' && nowMs - skewMs > exp * 1000) return JwtFailure.expired;
    if (typeof exp !== 'number' && (config.requireExpiration || maxLifetimeMs !== undefined)) {
      return JwtFailure.noExpiration;
    }
    if (maxLifetimeMs !== undefined && typeof exp === 'number') {
      const from = typeof iat === 'number' ? iat * 1000 : nowMs;
      if (exp * 1000 - from > maxLifetimeMs) return JwtFailure.lifetime;
    }
    if (audiences.length > 0) {
      const given = audiencesOf(claims).map(canonicalAudience);
      if (!audiences.some((a) => given.includes(canonicalAudience(a)))) return JwtFailure.audience;
    }
    return 'ok';
  };

  return {
    name,
    issuer,
    locations,
    ownedHeaders: ownedHeaders(config),
    clearRouteCache: config.clearRouteCache ?? false,
    failedStatusInMetadata: config.failedStatusInMetadata ?? '',
    async verify(token, audiences, nowMs) {
      const jwt = parseJwt(token);
      if (typeof jwt === 'string') return jwt;
      const claims = checkClaims(jwt.claims, audiences ?? ownAudiences, nowMs);
      if (claims !== 'ok') return claims;
      const keys = await jwks.get();
      if (keys === undefined) return JwtFailure.fetch;
      const signature = await verifySignature(jwt, keys);
      return signature === 'ok' ? jwt : signature;
    },
    publish: (jwt, headers) => {
      // Only places that held a token: `authorization` may carry other credentials.
      if (!config.forward) {
        for (const location of locations) if (location.find(headers).length > 0) location.remove(headers);
      }
      setHeaders(config, jwt, headers);
      return metadataOf(config, jwt);
    },
    close: () => jwks.close(),
  };
}

/** `https://x/` and `x` are one audience, as ESPv2 and Envoy read them. */
function canonicalAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, '').replace(/\/$/, '');
}

function ownedHeaders(config: Config): readonly string[] {
  const { forwardPayloadHeader } = config;
  const names = [
    ...(forwardPayloadHeader ? [forwardPayloadHeader] : []),
    ...(config.claimToHeaders ?? []).map((c) => c.headerName ?? ''),
  ];
  for (const name of names) if (!HEADER_NAME.test(name)) invalid(`"${name}" is no header name`);
  return names;
}

function setHeaders(config: Config, jwt: ParsedJwt, headers: HeaderMap): void {
  const { forwardPayloadHeader } = config;
  if (forwardPayloadHeader) {
    const padding = config.padForwardPayloadHeader ? '='.repeat((4 - (jwt.payload.length % 4)) % 4) : '';
    headers.set(forwardPayloadHeader, jwt.payload + padding);
  }
  for (const { headerName, claimName } of config.claimToHeaders ?? []) {
    const value = claimText(claimAt(jwt.claims, claimName ?? ''));
    if (headerName && value !== undefined) headers.set(headerName, value);
  }
}

/** `a.b` is nested, unless there is a claim of that very name. */
function claimAt(claims: MetadataStruct, name: string): MetadataValue | undefined {
  if (Object.hasOwn(claims, name)) return claims[name];
  let value: MetadataValue | undefined = claims;
  for (const key of name.split('.')) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
    const struct = value as MetadataStruct; // lists are excluded above
    value = Object.hasOwn(struct, key) ? struct[key] : undefined;
  }
  return value;
}

function claimText(value: MetadataValue | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === 'object') return Buffer.from(JSON.stringify(value)).toString('base64');
  // A claim is the issuer's text: it must not end the header line. Header values are bytes as Latin-1.
  if (typeof value === 'string' && /[\r\n\0]/.test(value)) return undefined;
  return Buffer.from(String(value), 'utf8').toString('latin1');
}

function metadataOf(config: Config, jwt: ParsedJwt): MetadataStruct {
  const { payloadInMetadata, headerInMetadata } = config;
  const out: Record<string, MetadataValue> = {};
  if (payloadInMetadata) {
    const payload: Record<string, MetadataValue> = { ...jwt.claims };
    for (const claim of config.normalizePayloadInMetadata?.spaceDelimitedClaims ?? []) {
      const value = payload[claim];
      if (typeof value === 'string') payload[claim] = value.split(' ').filter((word) => word !== '');
    }
    out[payloadInMetadata] = payload;
  }
  if (headerInMetadata) out[headerInMetadata] = jwt.header;
  return out;
}
