import { beforeAll, describe, expect, it } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK, type JWTPayload } from 'jose';
import fc from 'fast-check';
import { envoy } from '@weft/api/envoy';
import { ManualClock } from '@weft/telemetry';
import { type HeaderMap } from '../../engine/types.ts';
import { get, pass, testContext, testEngine, testRoute, type Passage } from '../testing/stream.ts';
import { jwtAuthn } from './http-filter.ts';
import { FAILED_FETCH_HOLD_MS, parseJwks, RemoteJwks } from './jwks.ts';
import { JwtFailure, parseJwt } from './token.ts';

const { JwtAuthentication } = envoy.extensions.filters.http.jwt_authn.v3;
type Config = envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication.$Properties;
type Provider = envoy.extensions.filters.http.jwt_authn.v3.JwtProvider.$Properties;
type Requirement = envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement.$Properties;

const ISSUER = 'https://issuer.test';
const NAME = 'envoy.filters.http.jwt_authn';
const NO_EXP = undefined as never; // jose leaves it out
// The manual clock's start.
const NOW = Date.UTC(2026, 0, 1) / 1000;

let key: CryptoKey;
let other: CryptoKey;
let jwks: string;

beforeAll(async () => {
  const pair = await generateKeyPair('ES256', { extractable: true });
  key = pair.privateKey;
  other = (await generateKeyPair('ES256', { extractable: true })).privateKey;
  jwks = JSON.stringify({ keys: [{ ...(await exportJWK(pair.publicKey)), kid: 'k1', alg: 'ES256' }] });
});

const sign = (
  claims: JWTPayload = {},
  o: { readonly key?: CryptoKey; readonly kid?: string } = {},
): Promise<string> =>
  new SignJWT({ iss: ISSUER, sub: 'me', exp: NOW + 600, ...claims })
    .setProtectedHeader({ alg: 'ES256', ...(o.kid === undefined ? {} : { kid: o.kid }) })
    .sign(o.key ?? key);

const provider = (p: Provider = {}): Provider => ({
  issuer: ISSUER,
  localJwks: { inlineString: jwks },
  payloadInMetadata: 'payload',
  ...p,
});
const required: Requirement = { providerName: 'a' };
const optional: Requirement = { requiresAny: { requirements: [required, { allowMissing: {} }] } };

function compile(config: Config, engine = testEngine()) {
  return jwtAuthn.compile(JwtAuthentication.encode(config).finish(), testContext(engine), '');
}

async function send(
  headers: HeaderMap,
  o: { readonly provider?: Provider; readonly requires?: Requirement; readonly config?: Config } = {},
): Promise<Passage> {
  const filter = compile(
    o.config ?? {
      providers: { a: provider(o.provider) },
      rules: [{ match: { prefix: '/' }, requires: o.requires ?? required }],
    },
  );
  const passage = pass(filter.create(undefined as never), headers); // it makes no use of the info here
  await passage.settled;
  filter.close?.();
  return passage;
}
const bearer = (token: string, path = '/') => get(path, { authorization: `Bearer ${token}` });

describe('a good token', () => {
  it('passes, and leaves its claims in metadata but not the token in the request', async () => {
    const { status, info, headers } = await send(bearer(await sign({ groups: ['a'] })));
    expect(status).toBe('continued');
    expect(info.dynamicMetadata.get(NAME)).toEqual({
      payload: { iss: ISSUER, sub: 'me', exp: NOW + 600, groups: ['a'] },
    });
    expect(headers.has('authorization')).toBe(false);
  });

  it('stays in the request when it is to be forwarded', async () => {
    expect(
      (await send(bearer(await sign()), { provider: { forward: true } })).headers.has('authorization'),
    ).toBe(true);
  });

  it('without exp passes', async () => {
    expect((await send(bearer(await sign({ exp: NO_EXP })))).status).toBe('continued');
  });

  it('is found in the query, a header, a cookie', async () => {
    const token = await sign();
    const query = await send(get(`/p?x=1&access_token=${token}&y=2`));
    expect([query.status, query.headers.path]).toEqual(['continued', '/p?x=1&y=2']);
    const fromHeaders = [{ name: 'x-jwt', valuePrefix: 'JWT ' }];
    expect((await send(get('/', { 'x-jwt': `JWT ${token}` }), { provider: { fromHeaders } })).status).toBe(
      'continued',
    );
    const cookie = await send(get('/', { cookie: `a=1; t=${token}` }), { provider: { fromCookies: ['t'] } });
    expect([cookie.status, cookie.headers.get('cookie')]).toEqual(['continued', 'a=1']);
  });

  it('leaves other credentials alone', async () => {
    const headers = get(`/?access_token=${await sign()}`, { authorization: 'Basic YTpi' });
    expect((await send(headers)).headers.get('authorization')).toBe('Basic YTpi');
  });

  it('gives headers, nested claims too, and no client can write them', async () => {
    const claimToHeaders = [
      { headerName: 'x-sub', claimName: 'sub' },
      { headerName: 'x-nested', claimName: 'a.b' },
      { headerName: 'x-list', claimName: 'list' },
      { headerName: 'x-none', claimName: 'none' },
    ];
    const token = await sign({ a: { b: 7 }, list: ['x'] });
    const headers = bearer(token);
    for (const name of ['x-none', 'x-sub', 'x-payload']) headers.append(name, 'forged');
    const passage = await send(headers, { provider: { claimToHeaders, forwardPayloadHeader: 'x-payload' } });
    expect(passage.headers.getAll('x-sub')).toEqual(['me']);
    expect(passage.headers.get('x-nested')).toBe('7');
    expect(passage.headers.get('x-list')).toBe(Buffer.from('["x"]').toString('base64'));
    expect(passage.headers.has('x-none')).toBe(false);
    expect(passage.headers.getAll('x-payload')).toEqual([token.split('.')[1]]);
  });

  it('takes forged claim headers away where no rule applies', async () => {
    const claimToHeaders = [{ headerName: 'x-sub', claimName: 'sub' }];
    const headers = get('/', { 'x-sub': 'forged' });
    await send(headers, { config: { providers: { a: provider({ claimToHeaders }) }, rules: [] } });
    expect(headers.has('x-sub')).toBe(false);
  });

  it('never puts a line break of a claim into a header', async () => {
    const claimToHeaders = [{ headerName: 'x-sub', claimName: 'sub' }];
    const { headers } = await send(bearer(await sign({ sub: 'a\r\nx-admin: 1' })), {
      provider: { claimToHeaders },
    });
    expect(headers.has('x-sub')).toBe(false);
  });

  it('splits the claims that are lists of words', async () => {
    const normalizePayloadInMetadata = { spaceDelimitedClaims: ['scope'] };
    const { info } = await send(bearer(await sign({ scope: 'a b' })), {
      provider: { normalizePayloadInMetadata },
    });
    expect(info.dynamicMetadata.get(NAME)).toMatchObject({ payload: { scope: ['a', 'b'] } });
  });

  it('lets the route be chosen anew', async () => {
    expect((await send(bearer(await sign()), { provider: { clearRouteCache: true } })).routeCleared).toBe(
      true,
    );
  });
});

describe('a bad token', () => {
  it.each<[string, () => Promise<HeaderMap>, Provider, string, number]>([
    ['none', () => Promise.resolve(get('/')), {}, JwtFailure.missing, 401],
    [
      'Basic credentials',
      () => Promise.resolve(get('/', { authorization: 'Basic x' })),
      {},
      JwtFailure.missing,
      401,
    ],
    ['two sections', () => Promise.resolve(bearer('a.b')), {}, JwtFailure.format, 401],
    ['four sections', () => Promise.resolve(bearer('a.b.c.d')), {}, JwtFailure.format, 401],
    ['expired', async () => bearer(await sign({ exp: NOW - 61 })), {}, JwtFailure.expired, 401],
    ['not valid yet', async () => bearer(await sign({ nbf: NOW + 61 })), {}, JwtFailure.notYetValid, 401],
    ['another issuer', async () => bearer(await sign({ iss: 'x' })), {}, JwtFailure.issuer, 401],
    ['another key', async () => bearer(await sign({}, { key: other })), {}, JwtFailure.signature, 401],
    ['an unknown key id', async () => bearer(await sign({}, { kid: 'k2' })), {}, JwtFailure.noKey, 401],
    [
      'another audience',
      async () => bearer(await sign({ aud: ['x', 'y'] })),
      { audiences: ['z'] },
      JwtFailure.audience,
      403,
    ],
    ['no audience', async () => bearer(await sign()), { audiences: ['z'] }, JwtFailure.audience, 403],
    [
      'no expiration',
      async () => bearer(await sign({ exp: NO_EXP })),
      { requireExpiration: true },
      JwtFailure.noExpiration,
      401,
    ],
    [
      'another subject',
      async () => bearer(await sign()),
      { subjects: { exact: 'you' } },
      JwtFailure.subject,
      401,
    ],
    ['a changed payload', async () => bearer(await tampered()), {}, JwtFailure.signature, 401],
    [
      'algorithm none',
      () => Promise.resolve(bearer(unsigned({ alg: 'none' }))),
      {},
      JwtFailure.algorithm,
      401,
    ],
    [
      'HMAC with the public key',
      () => Promise.resolve(bearer(unsigned({ alg: 'HS256' }))),
      {},
      JwtFailure.noKey,
      401,
    ],
    ['a good one after a bad', async () => twice('a.b.c', await sign()), {}, JwtFailure.headerEncoding, 401],
    ['a bad one after a good', async () => twice(await sign(), 'a.b.c'), {}, JwtFailure.headerEncoding, 401],
    [
      'exp that is text',
      async () => bearer(await sign({ exp: 'never' as never })),
      {},
      JwtFailure.payloadJson,
      401,
    ],
  ])('%s', async (_name, headers, p, text, status) => {
    const { reply } = await send(await headers(), { provider: p });
    const missing = text === JwtFailure.missing;
    expect(reply).toEqual({
      status,
      body: text,
      details: `jwt_authn_access_denied{${text.replaceAll(' ', '_')}}`,
      headers: [
        ['www-authenticate', `Bearer realm="http://shop.test/"${missing ? '' : ', error="invalid_token"'}`],
      ],
    });
  });

  it('is not described when that is to be kept', async () => {
    const config = {
      providers: { a: provider() },
      rules: [{ match: { prefix: '/' }, requires: required }],
      stripFailureResponse: true,
    };
    expect((await send(get('/'), { config })).reply).toEqual({
      status: 401,
      details: 'jwt_authn_access_denied{Jwt_is_missing}',
    });
  });

  it('leaves no claims behind', async () => {
    expect((await send(bearer(await sign({}, { key: other })))).info.dynamicMetadata.size).toBe(0);
  });
});

describe('audiences', () => {
  it.each([
    ['a', ['a'], true],
    [['a', 'b'], ['b'], true],
    ['https://x.test/', ['x.test'], true],
    ['ab', ['a'], false],
  ])('%j for %j: %s', async (aud, audiences, passes) => {
    const { status } = await send(bearer(await sign({ aud })), { provider: { audiences } });
    expect(status === 'continued').toBe(passes);
  });
});

describe('requirements', () => {
  it.each<[string, Requirement, () => Promise<HeaderMap>, Passage['status']]>([
    ['provider or missing: none', optional, () => Promise.resolve(get('/')), 'continued'],
    ['provider or missing: good', optional, async () => bearer(await sign()), 'continued'],
    ['provider or missing: bad', optional, async () => bearer(await sign({}, { key: other })), 'replied'],
    [
      'provider or missing: another issuer',
      optional,
      async () => bearer(await sign({ iss: 'x' })),
      'replied',
    ],
    ['missing: none', { allowMissing: {} }, () => Promise.resolve(get('/')), 'continued'],
    ['missing: bad', { allowMissing: {} }, () => Promise.resolve(bearer('a.b.c')), 'replied'],
    [
      'missing or failed: bad',
      { allowMissingOrFailed: {} },
      () => Promise.resolve(bearer('a.b.c')),
      'continued',
    ],
    [
      'own audiences',
      { providerAndAudiences: { providerName: 'a', audiences: ['z'] } },
      async () => bearer(await sign({ aud: 'z' })),
      'continued',
    ],
    [
      'own audiences, another',
      { providerAndAudiences: { providerName: 'a', audiences: ['z'] } },
      async () => bearer(await sign({ aud: 'y' })),
      'replied',
    ],
  ])('%s', async (_name, requires, headers, status) => {
    expect((await send(await headers(), { requires })).status).toBe(status);
  });

  it('two providers of one issuer: either key will do', async () => {
    const second = JSON.stringify({ keys: [await publicOf(other)] });
    const requires = { requiresAny: { requirements: [{ providerName: 'a' }, { providerName: 'b' }] } };
    const config = () => ({
      providers: { a: provider(), b: provider({ localJwks: { inlineString: second } }) },
      rules: [{ match: { prefix: '/' }, requires }],
    });
    expect((await send(bearer(await sign()), { config: config() })).status).toBe('continued');
    expect((await send(bearer(await sign({}, { key: other })), { config: config() })).status).toBe(
      'continued',
    );
    expect((await send(bearer(await sign({ exp: 1 })), { config: config() })).reply?.body).toBe(
      JwtFailure.expired,
    );
  });

  it('uses the first rule that matches, and none passes', async () => {
    const config = {
      providers: { a: provider() },
      rules: [{ match: { path: '/open' } }, { match: { prefix: '/' }, requires: required }],
    };
    expect((await send(get('/open?x'), { config })).status).toBe('continued');
    expect((await send(get('/closed'), { config })).status).toBe('replied');
  });

  it('lets CORS preflights pass when told to, and nothing that only looks like one', async () => {
    const preflight = () => {
      const headers = get('/', { origin: 'http://a', 'access-control-request-method': 'PUT' });
      headers.method = 'OPTIONS';
      return headers;
    };
    const config = {
      providers: { a: provider() },
      rules: [{ match: { prefix: '/' }, requires: required }],
      bypassCorsPreflight: true,
    };
    expect((await send(preflight(), { config })).status).toBe('continued');
    const get_ = preflight();
    get_.method = 'GET';
    expect((await send(get_, { config })).status).toBe('replied');
  });

  it('can be switched off by the route', () => {
    const filter = compile({
      providers: { a: provider() },
      rules: [{ match: { prefix: '/' }, requires: required }],
    });
    const route = testRoute({ [NAME]: { kind: 'disabled' } });
    expect(pass(filter.create(undefined as never), get('/'), { route }).status).toBe('continued');
  });

  it('a stream that ended meanwhile is left alone', async () => {
    const filter = compile({
      providers: { a: provider() },
      rules: [{ match: { prefix: '/' }, requires: required }],
    }).create(undefined as never);
    const passage = pass(filter, bearer(await sign()));
    filter?.onDestroy?.();
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
    expect(passage.status).toBe('waiting');
  });
});

describe('configuration', () => {
  it.each<[string, () => Config, RegExp]>([
    [
      'an unknown provider',
      () => ({ rules: [{ match: { prefix: '/' }, requires: required }] }),
      /rules\[0\]\.requires\.provider_name: "a"/,
    ],
    [
      'keys that are none',
      () => ({ providers: { a: { localJwks: { inlineString: '{}' } } } }),
      /providers\["a"\]\.local_jwks/,
    ],
    ['no source of keys', () => ({ providers: { a: {} } }), /remote_jwks\.http_uri/],
    [
      'a header name with a space',
      () => ({ providers: { a: provider({ forwardPayloadHeader: 'a b' }) } }),
      /no header name/,
    ],
  ])('refuses %s', (_name, config, message) => {
    expect(() => compile(config())).toThrow(message);
  });
});

describe('remote keys', () => {
  const uri = { uri: 'https://issuer.test/keys', cluster: 'issuer' };

  it('deny while their server is down, share one fetch, and hold back after a failure', async () => {
    const clock = new ManualClock();
    let fetches = 0;
    let up = false;
    const fetch = () => {
      fetches++;
      return up ? Promise.resolve(jwks) : Promise.reject(new Error('down'));
    };
    const remote = new RemoteJwks({ clock, cacheDurationMs: 60_000, fetch });
    expect(await Promise.all([remote.get(), remote.get()])).toEqual([undefined, undefined]);
    expect(fetches).toBe(1);
    up = true;
    expect(await remote.get()).toBeUndefined();
    expect(fetches).toBe(1);
    await clock.advance(FAILED_FETCH_HOLD_MS);
    expect(await remote.get()).toHaveLength(1);
    expect(await remote.get()).toHaveLength(1);
    expect(fetches).toBe(2);
    await clock.advance(60_000);
    up = false;
    // Keys that may have been revoked verify nothing.
    expect(await remote.get()).toBeUndefined();
    remote.close();
    await clock.advance(60_000);
    expect(await remote.get()).toBeUndefined();
    expect(fetches).toBe(3);
  });

  it('of a cluster that does not exist deny with the text for a failed fetch', async () => {
    const config = {
      providers: { a: { issuer: ISSUER, remoteJwks: { httpUri: uri } } },
      rules: [{ match: { prefix: '/' }, requires: required }],
    };
    expect((await send(bearer(await sign()), { config })).reply?.body).toBe(JwtFailure.fetch);
  });

  it.each(['', '[]', '{}', '{"keys":1}', '{"keys":[]}', '{"keys":[1]}', 'null'])(
    'are refused as %s',
    (text) => {
      expect(() => parseJwks(text)).toThrow();
    },
  );
});

it('parsing never throws', () => {
  const section = fc.oneof(
    fc.string(),
    fc.json().map((j) => Buffer.from(j).toString('base64url')),
  );
  fc.assert(
    fc.property(fc.array(section, { maxLength: 5 }), (sections) => {
      const parsed = parseJwt(sections.join('.'));
      expect(['string', 'object']).toContain(typeof parsed);
    }),
  );
});

const twice = (first: string, second: string) =>
  get('/', { authorization: [`Bearer ${first}`, `Bearer ${second}`] });

function unsigned(header: object): string {
  const section = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  return `${section(header)}.${section({ iss: ISSUER, exp: NOW + 600 })}.AAAA`;
}

async function tampered(): Promise<string> {
  const [header, , signature] = (await sign()).split('.');
  const payload = Buffer.from(JSON.stringify({ iss: ISSUER, sub: 'root', exp: NOW + 600 })).toString(
    'base64url',
  );
  return `${header}.${payload}.${signature}`;
}

async function publicOf(privateKey: CryptoKey): Promise<JWK> {
  const { d: _private, ...jwk } = await exportJWK(privateKey);
  return jwk;
}
