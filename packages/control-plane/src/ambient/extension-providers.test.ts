import { describe, expect, it } from '@jest/globals';
import { parseAuthorizationProviders, providerServiceKey } from './extension-providers.ts';

const grpc = { service: 'opa.auth.svc.cluster.local', port: 9000 };
const http = { service: 'auth/checks.auth.svc.cluster.local', port: 8000 };

describe('MeshConfig extensionProviders', () => {
  it('are those that can be asked, by name, with the defaults', () => {
    const providers = parseAuthorizationProviders([
      { name: 'opa', envoyExtAuthzGrpc: grpc },
      { name: 'checks', envoyExtAuthzHttp: { ...http, timeout: '0.5s', statusOnError: '503' } },
      { name: 'traces', zipkin: { service: 'zipkin', port: 9411 } },
    ]);
    expect([...providers.keys()]).toEqual(['opa', 'checks']);
    expect(providers.get('opa')).toMatchObject({
      timeoutMs: 600_000,
      failOpen: false,
      protocol: { kind: 'grpc' },
    });
    expect(providers.get('checks')).toMatchObject({
      timeoutMs: 500,
      statusOnError: 503,
      protocol: { kind: 'http' },
    });
    expect(parseAuthorizationProviders(undefined).size).toBe(0);
  });

  it.each<[string, object]>([
    ['port is not a number from 1 to 65535', { ...http, port: 0 }],
    ['service is not a text', { port: 1 }],
    ['timeout is not a time such as 5s', { ...http, timeout: 'soon' }],
    ['failOpen is neither true nor false', { ...http, failOpen: 'yes' }],
    ['statusOnError is no status of an error', { ...http, statusOnError: '200' }],
    ['statusOnError is no status of an error', { ...http, statusOnError: '599' }],
    ['pathPrefix does not begin with a slash', { ...http, pathPrefix: 'check' }],
    ['headersToUpstreamOnAllow may not be "*"', { ...http, headersToUpstreamOnAllow: ['*'] }],
    [
      'includeAdditionalHeadersInCheck.a b is not a header',
      { ...http, includeAdditionalHeadersInCheck: { 'a b': 'c' } },
    ],
    ['includeRequestBodyInCheck.maxRequestBytes is not', { ...http, includeRequestBodyInCheck: {} }],
  ])('are refused where %s', (why, envoyExtAuthzHttp) => {
    expect(() => parseAuthorizationProviders([{ name: 'x', envoyExtAuthzHttp }])).toThrow(
      `extensionProviders[0].envoyExtAuthzHttp.${why}`,
    );
  });

  it.each([
    ['opa.auth.svc.cluster.local', 'auth/opa'],
    ['other/opa.auth.svc.cluster.local', 'auth/opa'],
    ['opa.example', undefined],
    ['a.opa.auth.svc.cluster.local', undefined],
    ['svc.cluster.local', undefined],
  ])('mean by %s the Service %s', (service, key) => {
    const provider = parseAuthorizationProviders([
      { name: 'x', envoyExtAuthzGrpc: { ...grpc, service } },
    ]).get('x');
    expect(provider && providerServiceKey(provider, 'cluster.local')).toBe(key);
  });
});
