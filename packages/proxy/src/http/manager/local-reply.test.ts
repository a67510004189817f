import { describe, expect, it } from '@jest/globals';
import { ProxyUnderTest } from '../testing/proxy-under-test.ts';

const adds = { responseHeadersToAdd: [{ header: { key: 'x-route', value: 'r' } }] };
const CORS = 'type.googleapis.com/envoy.extensions.filters.http.cors.v3';
const router = {
  name: 'router',
  typedConfig: { '@type': 'type.googleapis.com/envoy.extensions.filters.http.router.v3.Router' },
};
const abort = {
  name: 'fault',
  typedConfig: {
    '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
    abort: { httpStatus: 418, percentage: { numerator: 100 } },
  },
};

describe('the header changes of a route apply', () => {
  it.each<[name: string, route: object, filters: readonly object[], expected: [number, string | undefined]]>([
    ["to a filter's answer where the route forwards", { route: { cluster: 'up' } }, [abort], [418, 'r']],
    ["to the router's own answer where it forwards", { route: { cluster: 'none' } }, [], [503, 'r']],
    ['to its direct response', { directResponse: { status: 203 } }, [], [203, 'r']],
    ['to its redirect', { redirect: { pathRedirect: '/x' } }, [], [301, 'r']],
    [
      "not to a filter's answer where it would answer itself",
      { directResponse: { status: 203 } },
      [abort],
      [418, undefined],
    ],
    [
      "not to a filter's answer where it redirects",
      { redirect: { pathRedirect: '/x' } },
      [abort],
      [418, undefined],
    ],
  ])('%s', async (_, action, filters, expected) => {
    const route = { match: { prefix: '/' }, ...action, ...adds };
    const proxy = new ProxyUnderTest([route], { httpFilters: [...filters, router] });
    const answer = await proxy.get();
    expect([answer.status, answer.headers.get('x-route')]).toEqual(expected);
  });

  it('not to the answer to a CORS preflight', async () => {
    const policy = {
      '@type': `${CORS}.CorsPolicy`,
      allowOriginStringMatch: [{ exact: 'http://a' }],
      allowMethods: 'PUT',
    };
    const route = {
      match: { prefix: '/' },
      route: { cluster: 'up' },
      typedPerFilterConfig: { cors: policy },
      ...adds,
    };
    const filter = { name: 'cors', typedConfig: { '@type': `${CORS}.Cors` } };
    const proxy = new ProxyUnderTest([route], { httpFilters: [filter, router] });
    const preflight = { origin: 'http://a', 'access-control-request-method': 'PUT' };
    const answer = await proxy.get('/', preflight, 'OPTIONS');
    expect([answer.status, answer.headers.get('access-control-allow-methods')]).toEqual([200, 'PUT']);
    expect(answer.headers.get('x-route')).toBeUndefined();
    const plain = await proxy.get('/', { origin: 'http://a' });
    expect(plain.headers.get('x-route')).toBe('r');
    expect(proxy.attempts).toHaveLength(1);
  });
});
