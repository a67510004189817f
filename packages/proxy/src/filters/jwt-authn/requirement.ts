import type { envoy } from '@weft/api/envoy';
import type { HeaderMap } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';
import type { JwtProvider } from './provider.ts';
import { JwtFailure, type ParsedJwt } from './token.ts';

type Requirement = envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement.$Properties;

export interface VerifiedToken {
  readonly provider: JwtProvider;
  readonly jwt: ParsedJwt;
}
export type Outcome =
  | { readonly kind: 'ok'; readonly tokens: readonly VerifiedToken[] }
  | { readonly kind: 'failed'; readonly failure: JwtFailure; readonly provider?: JwtProvider };

/** Decides about one request's tokens. Never rejects. */
export type Verifier = (headers: HeaderMap, nowMs: number) => Promise<Outcome>;

const nothing: Outcome = { kind: 'ok', tokens: [] };

/**
 * requires_any: the first that succeeds; with allow_missing among them, success too when *every* other found no
 * token. A bad token is never forgiven by allow_missing, only by allow_missing_or_failed.
 */
export function compileRequirement(
  requirement: Requirement,
  providers: ReadonlyMap<string, JwtProvider>,
): Verifier {
  switch (requirement.requiresType) {
    case 'providerName':
      return providerVerifier(find(providers, requirement.providerName));
    case 'providerAndAudiences': {
      const { providerName, audiences } = requirement.providerAndAudiences ?? {};
      return providerVerifier(find(providers, providerName), audiences ?? []);
    }
    case 'requiresAny':
      return compileAny(requirement.requiresAny?.requirements ?? [], providers);
    case 'requiresAll':
      return compileAll(requirement.requiresAll?.requirements ?? [], providers);
    case 'allowMissing':
      return allowMissing(providers);
    case 'allowMissingOrFailed': {
      const verify = everyToken(providers);
      return async (headers, nowMs) => ({ kind: 'ok', tokens: (await verify(headers, nowMs)).tokens });
    }
    default:
      // An empty requirement asks for nothing.
      return () => Promise.resolve(nothing);
  }
}

function providerVerifier(provider: JwtProvider, audiences?: readonly string[]): Verifier {
  return async (headers, nowMs) => {
    const tokens = provider.locations.flatMap((location) => location.find(headers));
    if (tokens.length === 0) return { kind: 'failed', failure: JwtFailure.missing, provider };
    const verified: VerifiedToken[] = [];
    for (const token of tokens) {
      const jwt = await provider.verify(token, audiences, nowMs);
      if (typeof jwt === 'string') return { kind: 'failed', failure: jwt, provider };
      verified.push({ provider, jwt });
    }
    return { kind: 'ok', tokens: verified };
  };
}

function compileAny(
  requirements: readonly Requirement[],
  providers: ReadonlyMap<string, JwtProvider>,
): Verifier {
  if (requirements.length < 2) invalid('needs at least two requirements', 'requires_any.requirements');
  const bypasses = new Set(requirements.map((r) => r.requiresType));
  const verifiers = compileList('requires_any', requirements.filter(isProving), providers);
  // Of allow_missing alone there is nothing else to prove: any token there is must be good.
  if (verifiers.length === 0) {
    return compileRequirement(
      bypasses.has('allowMissingOrFailed')
        ? { requiresType: 'allowMissingOrFailed', allowMissingOrFailed: {} }
        : { requiresType: 'allowMissing', allowMissing: {} },
      providers,
    );
  }
  return async (headers, nowMs) => {
    let failed: Outcome | undefined;
    for (const verify of verifiers) {
      const outcome = await verify(headers, nowMs);
      if (outcome.kind === 'ok') return outcome;
      // The most telling failure is reported: a token of another issuer, or none, says less than a bad one.
      if (failed === undefined || rank(outcome) >= rank(failed)) failed = outcome;
    }
    if (bypasses.has('allowMissingOrFailed')) return nothing;
    if (bypasses.has('allowMissing') && failed !== undefined && rank(failed) === 0) return nothing;
    return failed ?? nothing;
  };
}

function compileAll(
  requirements: readonly Requirement[],
  providers: ReadonlyMap<string, JwtProvider>,
): Verifier {
  if (requirements.length < 2) invalid('needs at least two requirements', 'requires_all.requirements');
  const verifiers = compileList('requires_all', requirements, providers);
  return async (headers, nowMs) => {
    const tokens: VerifiedToken[] = [];
    for (const verify of verifiers) {
      const outcome = await verify(headers, nowMs);
      if (outcome.kind === 'failed') return outcome;
      tokens.push(...outcome.tokens);
    }
    return { kind: 'ok', tokens };
  };
}

function allowMissing(providers: ReadonlyMap<string, JwtProvider>): Verifier {
  const verify = everyToken(providers);
  return async (headers, nowMs) => {
    const { tokens, failure } = await verify(headers, nowMs);
    return failure === undefined ? { kind: 'ok', tokens } : { kind: 'failed', failure };
  };
}

/** Every token in any provider's places, each good when one of the providers of its place vouches for it. */
function everyToken(providers: ReadonlyMap<string, JwtProvider>) {
  return async (headers: HeaderMap, nowMs: number) => {
    const candidates = new Map<string, JwtProvider[]>();
    for (const provider of providers.values()) {
      for (const token of provider.locations.flatMap((l) => l.find(headers))) {
        candidates.set(token, [...(candidates.get(token) ?? []), provider]);
      }
    }
    const tokens: VerifiedToken[] = [];
    let failure: JwtFailure | undefined;
    for (const [token, of] of candidates) {
      let own: JwtFailure | undefined;
      for (const provider of of) {
        const jwt = await provider.verify(token, undefined, nowMs);
        if (typeof jwt !== 'string') {
          tokens.push({ provider, jwt });
          own = undefined;
          break;
        }
        if (own === undefined || own === JwtFailure.issuer) own = jwt;
      }
      failure ??= own;
    }
    return { tokens, failure };
  };
}

function isProving(requirement: Requirement): boolean {
  return requirement.requiresType !== 'allowMissing' && requirement.requiresType !== 'allowMissingOrFailed';
}

function rank(outcome: Outcome): number {
  if (outcome.kind === 'ok' || outcome.failure === JwtFailure.missing) return 0;
  return outcome.failure === JwtFailure.issuer ? 1 : 2;
}

function compileList(
  path: string,
  requirements: readonly Requirement[],
  providers: ReadonlyMap<string, JwtProvider>,
): readonly Verifier[] {
  return requirements.map((r, i) => at(`${path}.requirements[${i}]`, () => compileRequirement(r, providers)));
}

function find(providers: ReadonlyMap<string, JwtProvider>, name: string | null | undefined): JwtProvider {
  return providers.get(name ?? '') ?? invalid(`"${name ?? ''}" is not among the providers`, 'provider_name');
}
