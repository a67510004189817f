import { expect, it } from '@jest/globals';
import { ProxyUnderTest } from '../testing/proxy-under-test.ts';

const toUp = { match: { prefix: '/' }, route: { cluster: 'up' } };
const request = (path: string): string => `GET ${path} HTTP/1.1\r\nhost: a.test\r\n\r\n`;
const statuses = (text: string): string[] => [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, s]) => s ?? '');

it('a path that makes no sense is the last request of its connection', async () => {
  const proxy = new ProxyUnderTest([toUp], { normalizePath: true });
  const received = await proxy.send(request('/%00') + request('/fine'));
  expect(statuses(received)).toEqual(['400']);
  expect(received.toLowerCase()).toContain('connection: close');
  expect(proxy.attempts).toEqual([]);
});

it('a path with escaped slashes that is refused is the last one too, one that is redirected is not', async () => {
  const refusing = new ProxyUnderTest([toUp], { pathWithEscapedSlashesAction: 'REJECT_REQUEST' });
  expect(statuses(await refusing.send(request('/a%2fb') + request('/fine')))).toEqual(['400']);
  const redirecting = new ProxyUnderTest([toUp], { pathWithEscapedSlashesAction: 'UNESCAPE_AND_REDIRECT' });
  expect(statuses(await redirecting.send(request('/a%2fb') + request('/fine')))).toEqual(['307', '200']);
});

it('a request that is answered for another reason leaves the connection', async () => {
  const proxy = new ProxyUnderTest([{ ...toUp, match: { prefix: '/only' } }]);
  expect(statuses(await proxy.send(request('/else') + request('/only')))).toEqual(['404', '200']);
});
