import { envoy } from '@weft/api/envoy';
import {
  type JwtRule,
  type PolicyObject,
  type RequestAuthenticationSpec,
  keySetUri,
} from '../sources/policy-objects.ts';
import { usableKeySet } from '../jwks/key-set.ts';
import { extension } from './any.ts';
import { JWT_PAYLOAD } from './rbac-principals.ts';

type JwtProvider = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.$Properties;
type JwtRequirement = envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement.$Properties;
type HttpFilter = envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.$Properties;

const { JwtAuthentication } = envoy.extensions.filters.http.jwt_authn.v3;

/**
 * A key whose private half nobody has: with it, a provider whose real keys can't be had refuses every token. A list
 * without keys would be refused as configuration, and the listener with it.
 */
const NOBODYS_JWKS = JSON.stringify({
  keys: [
    {
      kty: 'EC',
      crv: 'P-256',
      kid: 'weft-nobody',
      x: 'j4EPvOLYRmE7vLZd0inHp5t1yLMjL8_SM0O_6kCmbmk',
      y: 'sAy2LLsvVCz28mHezHrgJfSKVue8ludQevbpBxUqNcg',
    },
  ],
});

/** The filter that verifies tokens; none without a rule. A missing token passes unless a rule requires it. */
export function jwtAuthentication(
  policies: readonly PolicyObject<RequestAuthenticationSpec>[],
  jwks: (uri: string) => string | undefined,
): HttpFilter[] {
  const rules = policies
    .flatMap(({ spec }) => spec.jwtRules ?? [])
    .sort((a, b) => ((a.issuer ?? '') < (b.issuer ?? '') ? -1 : (a.issuer ?? '') > (b.issuer ?? '') ? 1 : 0));
  if (rules.length === 0) return [];
  const providers = rules.map((rule, i) => [`origins-${i}`, provider(rule, jwks)] as const);
  const named = (isWanted: (rule: JwtRule) => boolean): string[] =>
    providers.flatMap(([name], i) => (isWanted(rules[i] ?? {}) ? [name] : []));
  const isRequired = ({ presence }: JwtRule): boolean => presence === 'REQUIRED';
  return [
    extension('envoy.filters.http.jwt_authn', JwtAuthentication, {
      providers: Object.fromEntries(providers),
      rules: [
        {
          match: { prefix: '/' },
          requires: requirement(
            named(isRequired),
            named((rule) => !isRequired(rule)),
          ),
        },
      ],
      bypassCorsPreflight: true,
    }),
  ];
}

/** Every required token, and of the others any, or none; a bad token never passes. */
function requirement(required: readonly string[], optional: readonly string[]): JwtRequirement {
  const all = [
    ...required.map((providerName): JwtRequirement => ({ providerName })),
    ...(optional.length === 0 ? [] : [optionalRequirement(optional)]),
  ];
  const [only] = all;
  return all.length === 1 && only !== undefined ? only : { requiresAll: { requirements: all } };
}

/** One rule: its token, or none. Several: any of them, or for each its token or none. */
function optionalRequirement(names: readonly string[]): JwtRequirement {
  const missing: JwtRequirement = { allowMissing: {} };
  const orMissing = (providerName: string): JwtRequirement => ({
    requiresAny: { requirements: [{ providerName }, missing] },
  });
  const [only = ''] = names;
  if (names.length === 1) return orMissing(only);
  return {
    requiresAny: {
      requirements: [
        ...names.map((name): JwtRequirement => ({ providerName: name })),
        { requiresAll: { requirements: names.map(orMissing) } },
      ],
    },
  };
}

function provider(rule: JwtRule, jwks: (uri: string) => string | undefined): JwtProvider {
  const { issuer = '', audiences = [], fromHeaders = [], fromParams = [], fromCookies = [] } = rule;
  const uri = keySetUri(rule);
  const keys = uri === undefined ? usableKeySet(rule.jwks ?? '') : jwks(uri);
  return {
    issuer,
    audiences: [...audiences],
    localJwks: { inlineString: keys ?? NOBODYS_JWKS },
    forward: rule.forwardOriginalToken ?? false,
    fromHeaders: fromHeaders.map(({ name, prefix = '' }) => ({ name, valuePrefix: prefix })),
    fromParams: [...fromParams],
    fromCookies: [...fromCookies],
    payloadInMetadata: JWT_PAYLOAD,
    normalizePayloadInMetadata: {
      spaceDelimitedClaims: [...new Set(['scope', 'permission', ...(rule.spaceDelimitedClaims ?? [])])],
    },
    clearRouteCache: true,
    ...(rule.outputPayloadToHeader === undefined ? {} : { forwardPayloadHeader: rule.outputPayloadToHeader }),
    claimToHeaders: (rule.outputClaimToHeaders ?? []).map(({ header, claim }) => ({
      headerName: header,
      claimName: claim,
    })),
  };
}
