import { envoy } from '@weft/api/envoy';
import { formatAddress, parseCidr } from '../ambient/addresses.ts';
import type { PolicyCondition, PolicySource } from '../sources/policy-objects.ts';
import { State } from './names.ts';

type Principal = envoy.config.rbac.v3.Principal.$Properties;
type StringMatcher = envoy.type.matcher.v3.StringMatcher.$Properties;
type CidrRange = envoy.config.core.v3.CidrRange.$Properties;

const JWT_FILTER = 'envoy.filters.http.jwt_authn';
export const JWT_PAYLOAD = 'payload';

export type Strings = readonly string[];

/** What can't be decided on this layer, or not at all. Callers drop the rule, or the field, and say so. */
export interface PrincipalConversion {
  readonly principals: readonly Principal[];
  readonly unsupported: readonly string[];
}

/** All fields of a `source`; values of a field are alternatives, fields add up. */
export function sourcePrincipals(source: PolicySource, policyNamespace: string): PrincipalConversion {
  const builder = new PrincipalBuilder();
  const account = (text: string): Principal => peer(serviceAccountPattern(text, policyNamespace));
  return builder
    .add('principals', source.principals, source.notPrincipals, principal)
    .add('namespaces', source.namespaces, source.notNamespaces, (ns) => peer(namespacePattern(ns)))
    .add('serviceAccounts', source.serviceAccounts, source.notServiceAccounts, account)
    .add('trustDomains', source.trustDomains, source.notTrustDomains, (td) => peer(trustDomainPattern(td)))
    .add('ipBlocks', source.ipBlocks, source.notIpBlocks, connectionAddress)
    .add('remoteIpBlocks', source.remoteIpBlocks, source.notRemoteIpBlocks, remoteAddress)
    .add('requestPrincipals', source.requestPrincipals, source.notRequestPrincipals, requestPrincipal, 'http')
    .build();
}

/** Undefined for keys that speak of the destination or of the request; see `rbac-permissions.ts`. */
export function conditionPrincipals(
  condition: PolicyCondition,
  policyNamespace: string,
): PrincipalConversion | undefined {
  const { key, values, notValues } = condition;
  const builder = new PrincipalBuilder();
  switch (key) {
    case 'source.ip':
      return builder.add(key, values, notValues, connectionAddress).build();
    case 'remote.ip':
      return builder.add(key, values, notValues, remoteAddress).build();
    case 'source.namespace':
      return builder.add(key, values, notValues, (ns) => peer(namespacePattern(ns))).build();
    case 'source.principal':
      return builder.add(key, values, notValues, principal).build();
    case 'source.serviceAccount':
      return builder
        .add(key, values, notValues, (text) => peer(serviceAccountPattern(text, policyNamespace)))
        .build();
    case 'request.auth.principal':
      return builder.add(key, values, notValues, requestPrincipal, 'http').build();
    case 'request.auth.audiences':
      return builder.add(key, values, notValues, (value) => claim(['aud'], value), 'http').build();
    case 'request.auth.presenter':
      return builder.add(key, values, notValues, (value) => claim(['azp'], value), 'http').build();
    default: {
      const claims = bracketed(key, 'request.auth.claims');
      if (claims !== undefined) {
        return builder.add(key, values, notValues, (value) => claim(claims, value), 'http').build();
      }
      const header = bracketed(key, 'request.headers')?.[0];
      if (header === undefined) return undefined;
      return builder
        .add(key, values, notValues, (value) => ({ header: headerMatch(header, value) }), 'http')
        .build();
    }
  }
}

class PrincipalBuilder {
  private readonly principals: Principal[] = [];
  private readonly http: string[] = [];

  add(
    field: string,
    values: Strings | undefined,
    notValues: Strings | undefined,
    convert: (value: string) => Principal,
    layer: 'any' | 'http' = 'any',
  ): this {
    const alternatives = (list: Strings): Principal => ({ orIds: { ids: list.map(convert) } });
    const has = (list: Strings | undefined): list is Strings => list !== undefined && list.length > 0;
    if (has(values)) this.principals.push(alternatives(values));
    if (has(notValues)) this.principals.push({ notId: alternatives(notValues) });
    if (layer === 'http' && (has(values) || has(notValues))) this.http.push(field);
    return this;
  }

  build(): PrincipalConversion {
    return { principals: this.principals, unsupported: this.http };
  }
}

/** The client's identity, as the tunnel certified it; who the connection comes from is only the tunnel's other end. */
function peer(stringMatch: StringMatcher): Principal {
  return { filterState: { key: State.peerPrincipal, stringMatch } };
}

function principal(text: string): Principal {
  // `*` is "any, but there must be one".
  if (text === '*') return peer({ safeRegex: { regex: '.+' } });
  if (text.startsWith('*')) return peer({ suffix: text.slice(1) });
  if (text.endsWith('*')) return peer({ prefix: `spiffe://${text.slice(0, -1)}` });
  return peer({ exact: `spiffe://${text}` });
}

function namespacePattern(namespace: string): StringMatcher {
  return { safeRegex: { regex: `.*/ns/${glob(namespace)}/.*` } };
}

function trustDomainPattern(domain: string): StringMatcher {
  return { safeRegex: { regex: `spiffe://${glob(domain)}/.*` } };
}

function serviceAccountPattern(text: string, policyNamespace: string): StringMatcher {
  const slash = text.indexOf('/');
  const namespace = slash < 0 ? policyNamespace : text.slice(0, slash);
  return { safeRegex: { regex: `.*/ns/${escape(namespace)}/sa/${escape(text.slice(slash + 1))}` } };
}

/** A star within one segment of an identity. */
function glob(text: string): string {
  return text.split('*').map(escape).join('[^/]*');
}

export function escape(text: string): string {
  return text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');
}

/**
 * `source_ip` is the address that the connection came from, restored from the tunnel; `direct_remote_ip` would be the
 * internal listener's, and `remote_ip` believes a header.
 */
function connectionAddress(text: string): Principal {
  return { sourceIp: cidrRange(text) };
}

function remoteAddress(text: string): Principal {
  return { remoteIp: cidrRange(text) };
}

/** What can't be read matches one address that nobody has. The webhook refuses such policies. */
export function cidrRange(text: string): CidrRange {
  const cidr = parseCidr(text);
  return cidr === undefined
    ? { addressPrefix: '0.0.0.0', prefixLen: { value: 32 } }
    : { addressPrefix: formatAddress(cidr.address), prefixLen: { value: cidr.length } };
}

/** `issuer/subject`; issuers are URLs, so the last slash is the one between. */
function requestPrincipal(text: string): Principal {
  const slash = text.lastIndexOf('/');
  if (text === '*') return { andIds: { ids: [claim(['iss'], '*'), claim(['sub'], '*')] } };
  if (slash < 0) return text.endsWith('*') ? claim(['iss'], text) : claim(['sub'], text);
  return {
    andIds: { ids: [claim(['iss'], text.slice(0, slash)), claim(['sub'], text.slice(slash + 1))] },
  };
}

/** A claim that is a list matches by any of its members. */
function claim(path: Strings, value: string): Principal {
  const stringMatch = textMatch(value);
  return {
    metadata: {
      filter: JWT_FILTER,
      path: [JWT_PAYLOAD, ...path].map((key) => ({ key })),
      value: { orMatch: { valueMatchers: [{ stringMatch }, { listMatch: { oneOf: { stringMatch } } }] } },
    },
  };
}

export function headerMatch(name: string, value: string): envoy.config.route.v3.HeaderMatcher.$Properties {
  return value === '*' ? { name, presentMatch: true } : { name, stringMatch: textMatch(value) };
}

/** Exact, `x*`, `*x`, and `*` for anything that isn't empty. */
export function textMatch(text: string): StringMatcher {
  if (text === '*') return { safeRegex: { regex: '.+' } };
  if (text.startsWith('*')) return { suffix: text.slice(1) };
  return text.endsWith('*') ? { prefix: text.slice(0, -1) } : { exact: text };
}

/** `a[b][c]` after a known beginning: `['b', 'c']`. */
export function bracketed(key: string, beginning: string): string[] | undefined {
  if (!key.startsWith(`${beginning}[`) || !key.endsWith(']')) return undefined;
  return key.slice(beginning.length + 1, -1).split('][');
}
