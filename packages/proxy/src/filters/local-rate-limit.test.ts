import { describe, expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { ManualClock } from '@weft/telemetry';
import { checkFields } from '../field-support/check-fields.ts';
import { localRateLimit, TokenBucket } from './local-rate-limit.ts';
import {
  get,
  pass,
  respond,
  testConnection,
  testContext,
  testEngine,
  testRoute,
  testStream,
} from './testing/stream.ts';

const TYPE = 'envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit';
const always = { default_value: { numerator: 100 } };
const never = { default_value: { numerator: 0 } };
const token_bucket = { max_tokens: 1, tokens_per_fill: 1, fill_interval: '1s' };
const strict = { stat_prefix: 'x', token_bucket, filter_enabled: always, filter_enforced: always };

function encoded(json: object): Uint8Array {
  const bytes = envoyFromJson(TYPE, json);
  checkFields(TYPE, bytes, { resource: 'r' });
  return bytes;
}

function setup(json: object) {
  const engine = testEngine();
  const compiled = localRateLimit.compile(encoded(json), testContext(engine), '');
  const connection = testConnection();
  /** The limit of a route. */
  const ofRoute = (limit: object): unknown =>
    localRateLimit.compileRoute?.(encoded(limit), testContext(engine), '');
  const filter = () => compiled.create(testStream({ connection }));
  const send = (o: { readonly limit?: unknown; readonly connection?: typeof connection } = {}) => {
    const info = testStream({ connection: o.connection ?? connection });
    const route = testRoute(o.limit === undefined ? {} : { [localRateLimit.name]: o.limit });
    return pass(compiled.create(info), get(), { info, route });
  };
  const counted = () =>
    Object.fromEntries(
      [...engine.stats.all()].flatMap(({ fullName, value }) =>
        'value' in value ? [[fullName.slice(fullName.lastIndexOf('.') + 1), value.value]] : [],
      ),
    );
  return { engine, filter, send, ofRoute, counted };
}

describe('a token bucket', () => {
  it('begins full, and fills evenly up to its maximum', async () => {
    const clock = new ManualClock();
    const bucket = new TokenBucket({ maxTokens: 2, tokensPerFill: 4, fillIntervalMs: 1_000 }, clock);
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
    await clock.advance(250);
    expect([bucket.take(), bucket.take()]).toEqual([true, false]);
    await clock.advance(60_000);
    expect([bucket.take(), bucket.take(), bucket.take()]).toEqual([true, true, false]);
  });
});

describe('the local rate limit', () => {
  it('answers 429 when no token is left, until there is one again', async () => {
    const { engine, send, counted } = setup(strict);
    expect(send().status).toBe('continued');
    expect(send().reply).toMatchObject({
      status: 429,
      body: 'local_rate_limited',
      details: 'local_rate_limited',
      flag: 'RL',
      grpcStatus: 14,
    });
    await engine.clock.advance(1_000);
    expect(send().status).toBe('continued');
    expect(counted()).toEqual({ enabled: 3, ok: 2, rate_limited: 1, enforced: 1 });
  });

  it('tells what is left with enable_x_ratelimit_headers, as Envoy: the reset is that of the next token', async () => {
    const told = { ...strict, token_bucket: { max_tokens: 2, tokens_per_fill: 2, fill_interval: '20s' } };
    const { engine, filter } = setup({ ...told, enable_x_ratelimit_headers: 'DRAFT_VERSION_03' });
    const next = () => {
      const one = filter();
      pass(one, get());
      return [...respond(one, testStream())].map(([, value]) => value);
    };
    expect([next(), next(), next()]).toEqual([
      ['2', '1', '0'],
      ['2', '0', '10'],
      ['2', '0', '10'],
    ]);
    await engine.clock.advance(3_200);
    expect(next()).toEqual(['2', '0', '7']);
    const silent = setup(told).filter();
    pass(silent, get());
    expect([...respond(silent, testStream())]).toEqual([]);
  });

  it('does nothing unless it is enabled, which by default it is not', () => {
    const { send, counted } = setup({ stat_prefix: 'x', token_bucket, filter_enforced: always });
    expect([send().status, send().status]).toEqual(['continued', 'continued']);
    expect(counted()).toEqual({});
  });

  it('marks requests that it would refuse where it is not enforced', () => {
    const { send } = setup({
      ...strict,
      filter_enforced: never,
      request_headers_to_add_when_not_enforced: [{ header: { key: 'x-limited', value: 'yes' } }],
    });
    expect(send().headers.has('x-limited')).toBe(false);
    const second = send();
    expect([second.status, second.headers.get('x-limited')]).toEqual(['continued', 'yes']);
  });

  it.each<[string, object, object]>([
    ['status', { status: { code: 'ServiceUnavailable' } }, { status: 503 }],
    ['status, which must be an error', { status: { code: 'OK' } }, { status: 429 }],
    [
      'response_headers_to_add',
      { response_headers_to_add: [{ header: { key: 'x-why', value: 'limit' } }] },
      { headers: [['x-why', 'limit']] },
    ],
    ['rate_limited_as_resource_exhausted', { rate_limited_as_resource_exhausted: true }, { grpcStatus: 8 }],
  ])('answers as it is told by %s', (_, fields, expected) => {
    const { send } = setup({ ...strict, ...fields });
    send();
    expect(send().reply).toMatchObject(expected);
  });

  it('has a bucket for each connection when it is told so', () => {
    const { send } = setup({ ...strict, local_rate_limit_per_downstream_connection: true });
    const other = testConnection();
    expect([send().status, send().status, send({ connection: other }).status]).toEqual([
      'continued',
      'replied',
      'continued',
    ]);
  });

  it('follows the route where that has a limit', () => {
    const { send, ofRoute } = setup({ stat_prefix: 'x' });
    const limit = ofRoute(strict);
    expect([send().status, send().status]).toEqual(['continued', 'continued']);
    expect([send({ limit }).status, send({ limit }).status]).toEqual(['continued', 'replied']);
  });

  it.each([
    ['stat_prefix: must not be empty', {}],
    ['max_tokens: must be at least 1', { stat_prefix: 'x', token_bucket: { fill_interval: '1s' } }],
    [
      'fill_interval: must be at least 50 ms',
      { stat_prefix: 'x', token_bucket: { max_tokens: 1, fill_interval: '0.01s' } },
    ],
    [
      'descriptors[0]: not supported',
      { stat_prefix: 'x', descriptors: [{ entries: [{ key: 'a', value: 'b' }], token_bucket }] },
    ],
  ])('is refused: %s', (message, json) => {
    expect(() => setup(json)).toThrow(message);
  });
});
