import { describe, expect, it } from '@jest/globals';
import { HeaderMap, type StreamInfo, type TlsInfo } from '../../engine/types.ts';
import { createConnectionInfo, createTcpStreamInfo } from '../../network/connection-info.ts';
import { applyClientCert, applyEdgeHeaders, type EdgeOptions } from './edge-headers.ts';

const waypoint: EdgeOptions = {
  useRemoteAddress: false,
  trustedHops: 0,
  skipXffAppend: false,
  appendForwardedPort: false,
  isInternal: () => false,
  generateRequestId: true,
  preserveExternalRequestId: false,
  via: '',
  userAgent: undefined,
  clientCert: { mode: 'sanitize', subject: false, cert: false, dns: false, uri: false },
};

function apply(
  fields: Record<string, string>,
  o: Partial<EdgeOptions>,
): { headers: HeaderMap; info: StreamInfo } {
  const headers = HeaderMap.request({
    method: 'GET',
    path: '/',
    authority: 'a',
    fields: Object.entries(fields),
  });
  const connection = createConnectionInfo({
    remoteAddress: { kind: 'ip', ip: '10.0.0.9', port: 1 },
    localAddress: { kind: 'ip', ip: '10.0.0.1', port: 80 },
    startTimeMs: 0,
  });
  const info = createTcpStreamInfo(connection, 'inbound');
  applyEdgeHeaders(headers, info, { ...waypoint, ...o });
  return { headers, info };
}

const clientIp = (info: StreamInfo): string =>
  info.remoteAddress.kind === 'ip' ? info.remoteAddress.ip : '';

describe('x-forwarded-for', () => {
  it.each<
    [
      name: string,
      sent: string | undefined,
      o: Partial<EdgeOptions>,
      client: string,
      after: string | undefined,
    ]
  >([
    [
      'is untouched without use_remote_address, and its last entry is the client',
      '1.1.1.1, 2.2.2.2',
      {},
      '2.2.2.2',
      '1.1.1.1, 2.2.2.2',
    ],
    ['absent leaves the peer', undefined, {}, '10.0.0.9', undefined],
    [
      'with one trusted hop: the second from the right',
      '1.1.1.1,2.2.2.2',
      { trustedHops: 1 },
      '1.1.1.1',
      '1.1.1.1,2.2.2.2',
    ],
    ['too short leaves the peer', '2.2.2.2', { trustedHops: 1 }, '10.0.0.9', '2.2.2.2'],
    [
      'is appended with use_remote_address, and the peer is the client',
      '1.1.1.1',
      { useRemoteAddress: true },
      '10.0.0.9',
      '1.1.1.1,10.0.0.9',
    ],
    [
      'with use_remote_address and a hop: the first from the right',
      '1.1.1.1,2.2.2.2',
      { useRemoteAddress: true, trustedHops: 1 },
      '2.2.2.2',
      '1.1.1.1,2.2.2.2,10.0.0.9',
    ],
    ['may be left alone', '1.1.1.1', { useRemoteAddress: true, skipXffAppend: true }, '10.0.0.9', '1.1.1.1'],
    ['that is no address leaves the peer', 'evil', {}, '10.0.0.9', 'evil'],
    ['may be IPv6', '[2001:db8::1]', {}, '2001:db8::1', '[2001:db8::1]'],
  ])('%s', (_, sent, o, client, after) => {
    const { headers, info } = apply(sent === undefined ? {} : { 'x-forwarded-for': sent }, o);
    expect([clientIp(info), headers.joined('x-forwarded-for')]).toEqual([client, after]);
  });
});

describe('headers that only trusted clients may send', () => {
  const all = {
    'x-envoy-retry-on': '5xx',
    'x-envoy-upstream-rq-timeout-ms': '1',
    'x-envoy-internal': 'true',
    'x-envoy-decorator-operation': 'x',
    'x-envoy-original-path': '/x',
    'x-envoy-attempt-count': '1',
    'x-forwarded-host': 'h',
    'x-request-id': 'mine',
  };
  it.each<[name: string, fields: Record<string, string>, o: Partial<EdgeOptions>, left: string[]]>([
    [
      'an external client',
      all,
      {},
      [
        'x-envoy-attempt-count',
        'x-envoy-decorator-operation',
        'x-envoy-original-path',
        'x-forwarded-host',
        'x-forwarded-proto',
        'x-request-id',
      ],
    ],
    [
      'an external client at the edge',
      all,
      { useRemoteAddress: true },
      [
        'x-envoy-attempt-count',
        'x-envoy-external-address',
        'x-forwarded-for',
        'x-forwarded-host',
        'x-forwarded-proto',
        'x-request-id',
      ],
    ],
    [
      'an internal client',
      all,
      { useRemoteAddress: true, isInternal: () => true },
      [...Object.keys(all), 'x-forwarded-for', 'x-forwarded-proto'],
    ],
  ])('%s', (_, fields, o, left) => {
    const { headers } = apply(fields, o);
    expect([...headers].map(([name]) => name).sort()).toEqual([...left].sort());
  });

  it('make a new request id at the edge, and keep it elsewhere', () => {
    expect(apply({ 'x-request-id': 'mine' }, {}).headers.get('x-request-id')).toBe('mine');
    const edge = apply({ 'x-request-id': 'mine' }, { useRemoteAddress: true });
    expect(edge.headers.get('x-request-id')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab]/);
    expect(edge.info.requestId).toBe(edge.headers.get('x-request-id'));
    const kept = apply(
      { 'x-request-id': 'mine' },
      { useRemoteAddress: true, preserveExternalRequestId: true },
    );
    expect(kept.headers.get('x-request-id')).toBe('mine');
    expect(apply({}, { generateRequestId: false }).headers.has('x-request-id')).toBe(false);
  });
});

describe('x-forwarded-client-cert', () => {
  const tls: TlsInfo = {
    peerUriSans: ['spiffe://td/ns/a/sa/b'],
    peerDnsSans: ['b.a'],
    localUriSans: ['spiffe://td/ns/w/sa/w'],
    localDnsSans: [],
    subjectPeer: 'CN="x"',
    peerFingerprint: 'abcd',
    peerValidated: true,
  };
  const own = 'By=spiffe://td/ns/w/sa/w;Hash=abcd;Subject="CN=\\"x\\"";URI=spiffe://td/ns/a/sa/b;DNS=b.a';
  it.each<[mode: EdgeOptions['clientCert']['mode'], tls: TlsInfo | undefined, expected: string | undefined]>([
    ['sanitize', tls, undefined],
    ['forward-only', tls, 'sent'],
    ['forward-only', undefined, undefined],
    ['append-forward', tls, `sent,${own}`],
    ['append-forward', undefined, undefined],
    ['append-forward', { ...tls, peerValidated: false }, undefined],
    ['sanitize-set', tls, own],
    ['always-forward-only', undefined, 'sent'],
  ])('%s', (mode, connection, expected) => {
    const headers = new HeaderMap(['x-forwarded-client-cert', 'sent']);
    applyClientCert(headers, connection, { mode, subject: true, cert: false, dns: true, uri: true });
    expect(headers.joined('x-forwarded-client-cert')).toBe(expected);
  });
});
