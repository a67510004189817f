import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { envoyFromJson } from '@weft/api/envoy-json';
import type { StreamInfo } from '../engine/types.ts';
import { get, testStream } from '../filters/testing/stream.ts';
import { compileHashPolicy, hashOf } from '../http/route/hash-policy.ts';
import { checkFields } from './check-fields.ts';

const TYPE = 'envoy.config.route.v3.RouteAction.HashPolicy';

interface Request {
  readonly path?: string;
  readonly fields?: Readonly<Record<string, string>>;
  readonly info?: StreamInfo;
}

describe('hash_policy', () => {
  const hash = (policies: readonly object[], request: Request = {}) => {
    const cookies: string[] = [];
    const hashPolicies = policies.flatMap((json) => {
      const bytes = envoyFromJson(TYPE, json);
      checkFields(TYPE, bytes, { resource: 'r' });
      return compileHashPolicy(envoy.config.route.v3.RouteAction.HashPolicy.decode(bytes)) ?? [];
    });
    const value = hashOf(hashPolicies, {
      headers: get(request.path, request.fields),
      info: request.info ?? testStream(),
      setCookie: (cookie) => cookies.push(cookie),
      random: () => 0.5,
    });
    return { value, cookies };
  };
  const state = (key: string) => {
    const info = testStream();
    info.filterState.set('k', key);
    return { info };
  };
  const from = (ip: string) => ({ info: testStream({ remoteAddress: { kind: 'ip', ip, port: 1 } }) });

  it.each<[string, object, Request, Request, Request]>([
    [
      'header, rewritten',
      { header: { header_name: 'x', regex_rewrite: { pattern: { regex: '-.*' }, substitution: '' } } },
      { fields: { x: 'a-1' } },
      { fields: { x: 'a-2' } },
      { fields: { x: 'b-1' } },
    ],
    [
      'cookie',
      { cookie: { name: 'c' } },
      { fields: { cookie: 'c=a; d=1' } },
      { fields: { cookie: 'd=2; c=a' } },
      { fields: { cookie: 'c=b' } },
    ],
    [
      'connection_properties.source_ip',
      { connection_properties: { source_ip: true } },
      from('10.0.0.1'),
      from('10.0.0.1'),
      from('10.0.0.2'),
    ],
    [
      'query_parameter',
      { query_parameter: { name: 'q' } },
      { path: '/a?q=1' },
      { path: '/b?q=1' },
      { path: '/a?q=2' },
    ],
    ['filter_state', { filter_state: { key: 'k' } }, state('a'), state('a'), state('b')],
  ])('%s: the same value has the same hash, another another', (_, policy, one, same, other) => {
    expect(hash([policy], one).value).toBeDefined();
    expect(hash([policy], same).value).toBe(hash([policy], one).value);
    expect(hash([policy], other).value).not.toBe(hash([policy], one).value);
  });

  it('cookie.ttl and path: one is made where there is none', () => {
    const { cookies } = hash([{ cookie: { name: 'c', ttl: '60s', path: '/shop' } }]);
    expect(cookies).toEqual([expect.stringMatching(/^c="[0-9a-f]+"; Max-Age=60; Path=\/shop; HttpOnly$/)]);
  });

  it('terminal: what comes after it does not count once it hit', () => {
    const [first, second] = [{ header: { header_name: 'x' } }, { header: { header_name: 'y' } }];
    const request = { fields: { x: 'a', y: 'b' } };
    expect(hash([{ ...first, terminal: true }, second], request).value).toBe(hash([first], request).value);
    expect(hash([first, second], request).value).not.toBe(hash([first], request).value);
  });
});
