import { describe, expect, it } from '@jest/globals';
import { ProxyUnderTest } from '../testing/proxy-under-test.ts';

const GRPC = { 'content-type': 'application/grpc' };

function silent(route: object, manager: Record<string, unknown> = {}): ProxyUnderTest {
  const routes = [{ match: { prefix: '/' }, route: { cluster: 'up', ...route } }];
  const proxy = new ProxyUnderTest(routes, manager);
  proxy.script = () => undefined;
  return proxy;
}

describe('max_stream_duration', () => {
  it.each<[name: string, duration: object]>([
    ['replaces the timeout of its route', { maxStreamDuration: '60s' }],
    ['replaces it also where it only caps what gRPC clients ask for', { grpcTimeoutHeaderMax: '60s' }],
    ['replaces it even when it is empty', {}],
  ])('%s', async (_, maxStreamDuration) => {
    const proxy = silent({ timeout: '1s', maxStreamDuration });
    await proxy.get();
    expect(proxy.attempts[0]?.headers.get('x-envoy-expected-rq-timeout-ms')).toBeUndefined();
    expect((await proxy.advance(59_999)).status).toBe(0);
  });

  it('of the connection manager leaves the timeout of the route', async () => {
    const proxy = silent({ timeout: '1s' }, { commonHttpProtocolOptions: { maxStreamDuration: '60s' } });
    await proxy.get();
    const answer = await proxy.advance(1_000);
    expect([answer.status, proxy.log.details]).toEqual([504, 'response_timeout']);
  });

  it('of the route goes before that of the connection manager', async () => {
    const manager = { commonHttpProtocolOptions: { maxStreamDuration: '1s' } };
    const proxy = silent({ maxStreamDuration: { maxStreamDuration: '2s' } }, manager);
    await proxy.get();
    expect((await proxy.advance(1_999)).status).toBe(0);
    expect((await proxy.advance(1)).status).toBe(504);
  });

  it('blames the client for a request that is not complete', async () => {
    const proxy = silent({ maxStreamDuration: { maxStreamDuration: '1s' } });
    await proxy.send('POST / HTTP/1.1\r\nhost: a.test\r\ncontent-length: 5\r\n\r\nab');
    expect((await proxy.advance(1_000)).status).toBe(408);
  });
});

describe('grpc-timeout', () => {
  it.each<
    [asked: string | undefined, duration: object, told: string | undefined, endsAfterMs: number | undefined]
  >([
    ['2S', { grpcTimeoutHeaderMax: '0s' }, '2000m', 2_000],
    ['2S', { grpcTimeoutHeaderMax: '1s' }, '1000m', 1_000],
    ['500m', { grpcTimeoutHeaderMax: '1s' }, '500m', 500],
    [undefined, { grpcTimeoutHeaderMax: '1s' }, undefined, undefined],
    ['soon', { grpcTimeoutHeaderMax: '1s' }, 'soon', undefined],
    [undefined, { grpcTimeoutHeaderMax: '1s', maxStreamDuration: '3s' }, undefined, 3_000],
    ['2S', { grpcTimeoutHeaderMax: '9s', maxStreamDuration: '1s' }, '2000m', 2_000],
    // Not taken notice of, but not left saying something else than what holds.
    ['9S', { maxStreamDuration: '1s' }, '1000m', 1_000],
  ])('%s, with %j, becomes %s and holds for %s ms', async (asked, maxStreamDuration, told, endsAfterMs) => {
    const proxy = silent({ maxStreamDuration });
    await proxy.get('/', { ...GRPC, ...(asked === undefined ? {} : { 'grpc-timeout': asked }) });
    expect(proxy.attempts[0]?.headers.get('grpc-timeout')).toBe(told);
    if (endsAfterMs === undefined) {
      expect((await proxy.advance(60_000)).status).toBe(0);
      return;
    }
    expect((await proxy.advance(endsAfterMs - 1)).status).toBe(0);
    const answer = await proxy.advance(1);
    expect([answer.status, answer.headers.get('grpc-status')]).toEqual([200, '4']);
  });

  it('of no time at all ends the request at once', async () => {
    const proxy = silent({ maxStreamDuration: { grpcTimeoutHeaderMax: '0s' } });
    await proxy.get('/', { ...GRPC, 'grpc-timeout': '0m' });
    expect((await proxy.advance(0)).headers.get('grpc-status')).toBe('4');
  });

  it('of a client that does not speak gRPC is left alone', async () => {
    const proxy = silent({ maxStreamDuration: { grpcTimeoutHeaderMax: '1s' } });
    await proxy.get('/', { 'grpc-timeout': '9S' });
    expect(proxy.attempts[0]?.headers.get('grpc-timeout')).toBe('9S');
    expect((await proxy.advance(60_000)).status).toBe(0);
  });
});
