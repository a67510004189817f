import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { SignJWT } from 'jose';
import {
  HeaderMap,
  type Cluster,
  type CompileContext,
  type Endpoint,
  type HttpStream,
} from '../engine/types.ts';
import { jwtAuthn } from '../filters/jwt-authn/http-filter.ts';
import { get, pass, testContext, testEngine, testStream, type Passage } from '../filters/testing/stream.ts';
import { checkFields } from './check-fields.ts';

type StreamHandlers = Parameters<Cluster['openStream']>[2];

const TYPE = 'envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication';
const SECRET = Buffer.alloc(32, 1);
const JWKS = JSON.stringify({ keys: [{ kty: 'oct', k: SECRET.toString('base64url'), alg: 'HS256' }] });
const local_jwks = { inline_string: JWKS };
/** The manual clock's start. */
const NOW = Date.UTC(2026, 0, 1) / 1000;

const sign = (claims: Readonly<Record<string, unknown>>): Promise<string> =>
  new SignJWT({ iss: 'i', ...claims }).setProtectedHeader({ alg: 'HS256' }).sign(SECRET);

function compile(provider: object, engine = testEngine(), context = testContext(engine)) {
  const bytes = envoyFromJson(TYPE, {
    providers: { a: { issuer: 'i', ...provider } },
    rules: [{ match: { prefix: '/' }, requires: { provider_name: 'a' } }],
  });
  checkFields(TYPE, bytes, { resource: 'r' });
  return jwtAuthn.compile(bytes, context, '');
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

  describe('remote_jwks', () => {
    const uri = { uri: 'https://keys.test/jwks', cluster: 'keys', timeout: '1s' };

    /** A cluster whose server answers as told, one time after the other; the last answer goes on. */
    function keyServer(...answers: readonly ('keys' | 'failure')[]) {
      let fetches = 0;
      const cluster = {
        pick: () => ({ reportResult: () => undefined }) as Partial<Endpoint> as Endpoint, // nothing else is asked of it
        openStream: (_: unknown, __: unknown, handlers: StreamHandlers) => {
          const answer = answers[Math.min(fetches++, answers.length - 1)];
          queueMicrotask(() => {
            const stream: Partial<HttpStream> = {
              sendHeaders: () => undefined,
              sendData: () => true,
              reset: () => undefined,
            };
            const events = handlers.onReady(stream as HttpStream, undefined as never); // a fetch uses no more
            events.onHeaders(HeaderMap.response(answer === 'keys' ? 200 : 503), false);
            events.onData(Buffer.from(JWKS), true);
          });
          return { cancel: () => undefined };
        },
      } as Partial<Cluster> as Cluster; // what a fetch needs of it
      return { engine: testEngine({}, new Map([['keys', cluster]])), fetches: () => fetches };
    }
    const settle = () => new Promise((resolve) => setImmediate(resolve));

    it('cache_duration: keys are fetched again when they are older', async () => {
      const { engine, fetches } = keyServer('keys');
      const filter = compile({ remote_jwks: { http_uri: uri, cache_duration: '60s' } }, engine);
      const token = await sign({});
      expect((await send(filter, token)).status).toBe('continued');
      await engine.clock.advance(59_000);
      expect((await send(filter, token)).status).toBe('continued');
      expect(fetches()).toBe(1);
      await engine.clock.advance(1_000);
      expect((await send(filter, token)).status).toBe('continued');
      expect(fetches()).toBe(2);
    });

    it('async_fetch: the listener waits for the first fetch; others follow by themselves', async () => {
      const { engine, fetches } = keyServer('failure', 'keys');
      const waiting: string[] = [];
      const context: CompileContext = {
        ...testContext(engine),
        warmUp: (what) => {
          waiting.push(what);
          return () => void waiting.splice(0);
        },
      };
      const remote_jwks = {
        http_uri: uri,
        cache_duration: '60s',
        async_fetch: { failed_refetch_duration: '2s' },
      };
      const filter = compile({ remote_jwks }, engine, context);
      expect(waiting).toEqual(['keys of a']);
      await settle();
      expect([waiting, fetches()]).toEqual([[], 1]);
      await engine.clock.advance(2_000);
      await settle();
      expect(fetches()).toBe(2);
      expect((await send(filter, await sign({}))).status).toBe('continued');
      await engine.clock.advance(55_000);
      expect(fetches()).toBe(3);
      await settle();
      filter.close?.();
      expect(engine.clock.pending).toBe(0);
    });

    it('async_fetch.fast_listener: the listener does not wait', () => {
      const { engine, fetches } = keyServer('keys');
      const remote_jwks = { http_uri: uri, async_fetch: { fast_listener: true } };
      // The context of this test has nothing to wait with.
      compile({ remote_jwks }, engine).close?.();
      expect(fetches()).toBe(1);
    });

    it('retry_policy: a failed fetch is tried again while the request waits', async () => {
      const { engine, fetches } = keyServer('failure', 'failure', 'keys');
      const retry_policy = { num_retries: 2, retry_back_off: { base_interval: '1s', max_interval: '1.5s' } };
      const filter = compile({ remote_jwks: { http_uri: uri, retry_policy } }, engine);
      const sent = send(filter, await sign({}));
      await settle();
      expect(fetches()).toBe(1);
      // Half of the interval, by the engine's random numbers: of 1 s, then of 1.5 s.
      await engine.clock.advance(500);
      await settle();
      expect(fetches()).toBe(2);
      await engine.clock.advance(749);
      expect(fetches()).toBe(2);
      await engine.clock.advance(1);
      expect((await sent).status).toBe('continued');
    });

    it.each([
      ['more attempts than are made', { num_retries: 11 }, 'num_retries: at most 10'],
      [
        'a maximum below the base',
        { retry_back_off: { base_interval: '2s', max_interval: '1s' } },
        'must not be less than base_interval',
      ],
      ['conditions', { retry_on: '5xx' }, 'retry_policy.retry_on: not supported'],
    ])('retry_policy is refused for %s', (_, retry_policy, message) => {
      expect(() => compile({ remote_jwks: { http_uri: uri, retry_policy } })).toThrow(message);
    });
  });
});
