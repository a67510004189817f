import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { SignJWT } from 'jose';
import { jwtAuthn } from '../filters/jwt-authn/http-filter.ts';
import { get, pass, testContext, testEngine, testStream, type Passage } from '../filters/testing/stream.ts';
import { checkFields } from './check-fields.ts';

const TYPE = 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication';
const SECRET = Buffer.alloc(32, 1);
const JWKS = JSON.stringify({ keys: [{ kty: 'oct', k: SECRET.toString('base64url'), alg: 'HS256' }] });
const local_jwks = { inline_string: JWKS };
/** The manual clock's start. */
const NOW = Date.UTC(2026, 0, 1) / 1000;

const sign = (claims: Readonly<Record<string, unknown>>): Promise<string> =>
  new SignJWT({ iss: 'i', ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(SECRET);

function compile(provider: object, engine = testEngine()) {
  const bytes = envoyFromJson(TYPE, {
    providers: { a: { issuer: 'i', ...provider } },
    rules: [{ match: { prefix: '/' }, requires: { provider_name: 'a' } }],
  });
  checkFields(TYPE, bytes, { resource: 'r' });
  return jwtAuthn.compile(bytes, testContext(engine), '');
}

async function send(
  filter: ReturnType<typeof compile>,
  token: string | undefined,
  path = '/',
): Promise<Passage> {
  const headers = get(path, token === undefined ? {} : { authorization: `Bearer ${token}` });
  const passage = pass(filter.create(testStream()), headers);
  await passage.settled;
  return passage;
}

describe('a field of a JWT provider has its effect', () => {
  it('from_params', async () => {
    const filter = compile({ local_jwks, from_params: ['token'] });
    const token = await sign({ exp: NOW + 60 });
    expect((await send(filter, undefined, `/?token=${token}`)).status).toBe('continued');
    expect((await send(filter, token)).status).toBe('replied');
  });

  it('clock_skew_seconds', async () => {
    const token = await sign({ exp: NOW - 100 });
    expect((await send(compile({ local_jwks }), token)).status).toBe('replied');
    expect((await send(compile({ local_jwks, clock_skew_seconds: 200 }), token)).status).toBe('continued');
  });

  it('max_lifetime', async () => {
    const filter = compile({ local_jwks, max_lifetime: '60s' });
    expect((await send(filter, await sign({ iat: NOW, exp: NOW + 60 }))).status).toBe('continued');
    expect((await send(filter, await sign({ iat: NOW, exp: NOW + 61 }))).status).toBe('replied');
  });

  it('pad_forward_payload_header', async () => {
    // base64 of its payload has a length that is no multiple of four.
    const token = await sign({ exp: NOW + 60, a: 'xx' });
    const forwarded = async (pad: boolean) => {
      const filter = compile({
        local_jwks,
        forward_payload_header: 'x-payload',
        pad_forward_payload_header: pad,
      });
      return (await send(filter, token)).headers.get('x-payload') ?? '';
    };
    const plain = await forwarded(false);
    expect(plain.length % 4).not.toBe(0);
    expect(await forwarded(true)).toBe(plain.padEnd(Math.ceil(plain.length / 4) * 4, '='));
  });

  it('header_in_metadata', async () => {
    const { info } = await send(
      compile({ local_jwks, header_in_metadata: 'head' }),
      await sign({ exp: NOW + 60 }),
    );
    expect(info.dynamicMetadata.get(jwtAuthn.name)).toMatchObject({ head: { alg: 'HS256' } });
  });

  it('failed_status_in_metadata', async () => {
    const { info } = await send(compile({ local_jwks, failed_status_in_metadata: 'why' }), undefined);
    expect(info.dynamicMetadata.get(jwtAuthn.name)).toMatchObject({ why: { message: 'Jwt is missing' } });
  });
});
