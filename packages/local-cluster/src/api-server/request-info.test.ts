import { expect, it } from '@jest/globals';
import { authorizedName, parseRequest } from './request-info.ts';

const parse = (method: string, path: string) => parseRequest(method, new URL(path, 'https://k'));

it.each([
  ['GET', '/api/v1/pods', { verb: 'list', group: '', version: 'v1', plural: 'pods', namespace: undefined }],
  ['GET', '/api/v1/pods?watch=true', { verb: 'watch', plural: 'pods' }],
  ['GET', '/api/v1/pods?watch=0', { verb: 'list' }],
  ['GET', '/api/v1/namespaces/n/pods/p', { verb: 'get', namespace: 'n', plural: 'pods', name: 'p' }],
  ['POST', '/api/v1/namespaces/n/pods/p/exec', { verb: 'create', subresource: 'exec', name: 'p' }],
  ['GET', '/api/v1/namespaces/n', { verb: 'get', plural: 'namespaces', namespace: 'n', name: 'n' }],
  ['PUT', '/api/v1/namespaces/n/finalize', { verb: 'update', plural: 'namespaces', subresource: 'finalize' }],
  ['GET', '/api/v1/namespaces/n/status', { plural: 'namespaces', subresource: 'status' }],
  [
    'DELETE',
    '/apis/apps/v1/namespaces/n/deployments',
    { verb: 'deletecollection', group: 'apps', namespace: 'n' },
  ],
  ['PATCH', '/apis/apps/v1/namespaces/n/deployments/d/scale', { verb: 'patch', subresource: 'scale' }],
  ['GET', '/apis/a%2Fb/v1/things', { group: 'a/b' }],
  ['GET', '/apis/apps/v1', { kind: 'path', verb: 'get', path: '/apis/apps/v1' }],
  ['GET', '/api/v1/namespaces/n/pods/p/log/extra', { kind: 'path' }],
  ['OPTIONS', '/api/v1/pods', { kind: 'path' }],
])('%s %s', (method, path, expected) => {
  expect(parse(method, path)).toMatchObject(expected);
});

it('refuses a path with a broken escape', () => {
  expect(parse('GET', '/api/v1/namespaces/%E0%A4%A')).toBeUndefined();
});

it.each([
  ['/api/v1/namespaces/n/pods/p', 'p'],
  ['/api/v1/namespaces/n/pods?fieldSelector=metadata.name%3Dp', 'p'],
  ['/api/v1/namespaces/n/pods?watch=true&fieldSelector=spec.nodeName%3Dx,metadata.name%3Dp', 'p'],
  ['/api/v1/namespaces/n/pods?fieldSelector=metadata.name%21%3Dp', undefined],
  ['/api/v1/namespaces/n/pods', undefined],
])('%s is allowed by a rule for the name %s', (path, name) => {
  const info = parse('GET', path);
  expect(info?.kind === 'resource' && authorizedName(info, new URL(path, 'https://k'))).toBe(name);
});
