import { expect, it } from '@jest/globals';
import { HeaderMap } from '../../engine/types.ts';
import { ProxyUnderTest } from '../testing/proxy-under-test.ts';
import { connectionPair, RawPeer, settle } from '../testing/raw-connection.ts';
import type { HttpCodecOptions } from '../codec.ts';
import { createHttp1ClientCodec } from './client.ts';

const PRESERVE_CASE =
  'type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig';
const preserving = {
  httpProtocolOptions: {
    headerKeyFormat: { statefulFormatter: { name: 'p', typedConfig: { '@type': PRESERVE_CASE } } },
  },
};
const toUp = { match: { prefix: '/' }, route: { cluster: 'up' } };
const REQUEST = 'GET / HTTP/1.1\r\nHOST: a.test\r\nX-oDD: 1\r\nx-plain: 2\r\nX-ODD: 3\r\n\r\n';

/** What an HTTP/1 upstream is sent. */
async function sentUpstream(headers: HeaderMap, options: HttpCodecOptions = {}): Promise<string> {
  const { client, server } = connectionPair();
  const nothing = { onCapacity: () => undefined, onDraining: () => undefined, onClose: () => undefined };
  const codec = createHttp1ClientCodec(client, nothing, options);
  const peer = new RawPeer(server);
  const ignore = (): void => undefined;
  const events = { onHeaders: ignore, onData: ignore, onTrailers: ignore, onReset: ignore, onDrain: ignore };
  codec.openStream(events)?.sendHeaders(headers, true);
  await settle();
  return peer.received;
}

async function forwarded(manager: Record<string, unknown>): Promise<HeaderMap> {
  const proxy = new ProxyUnderTest([toUp], manager);
  await proxy.send(REQUEST);
  return proxy.attempts[0]?.headers ?? new HeaderMap();
}

it('preserve_case: a request goes on with the names as its client spelled them, each as it came first', async () => {
  const text = await sentUpstream(await forwarded(preserving));
  expect(text).toContain('HOST: a.test\r\n');
  expect(text).toContain('X-oDD: 1\r\n');
  expect(text).toContain('X-oDD: 3\r\n');
  expect(text).toContain('x-plain: 2\r\n');
  // Ours: as always.
  expect(text).toContain('x-request-id: ');
});

it('without it names are lower-case', async () => {
  const text = await sentUpstream(await forwarded({}));
  expect(text).toContain('host: a.test\r\n');
  expect(text).toContain('x-odd: 1\r\n');
});

it('preserve_case goes before proper_case_words of the other side', async () => {
  const headers = await forwarded(preserving);
  expect(await sentUpstream(headers, { headerKeyFormat: 'proper-case' })).toContain('x-plain: 2\r\n');
});

it('preserve_case of a cluster: a response comes back with the names as its server spelled them', async () => {
  const { client, server } = connectionPair();
  const nothing = { onCapacity: () => undefined, onDraining: () => undefined, onClose: () => undefined };
  const codec = createHttp1ClientCodec(client, nothing, { headerKeyFormat: 'preserve-case' });
  const upstream = new RawPeer(server);
  const proxy = new ProxyUnderTest([toUp]);
  const responses: HeaderMap[] = [];
  const ignore = (): void => undefined;
  const stream = codec.openStream({
    onHeaders: (headers) => void responses.push(headers),
    onData: ignore,
    onTrailers: ignore,
    onReset: ignore,
    onDrain: ignore,
  });
  stream?.sendHeaders(HeaderMap.request({ method: 'GET', path: '/', authority: 'a' }), true);
  await settle();
  upstream.send('HTTP/1.1 200 OK\r\nETag: "x"\r\nContent-LENGTH: 0\r\n\r\n');
  await settle();
  proxy.script = ({ events }) => {
    const [response] = responses;
    if (response !== undefined) events.onHeaders(response, true);
  };
  const received = await proxy.send(REQUEST);
  expect(received).toContain('ETag: "x"\r\n');
  expect(received).toContain('Content-LENGTH: 0\r\n');
});

it('a formatter of another kind is refused', () => {
  const other = { '@type': 'type.googleapis.com/google.protobuf.Empty' };
  const format = { headerKeyFormat: { statefulFormatter: { name: 'p', typedConfig: other } } };
  expect(() => new ProxyUnderTest([toUp], { httpProtocolOptions: format })).toThrow('stateful_formatter');
});
