import { describe, expect, it } from '@jest/globals';
import { envoy } from '@weft/api/envoy';
import { message, testContext } from '../testing/compile.ts';
import { createConnectionInfo } from './connection-info.ts';
import { filterChainSelector } from './filter-chain-match.ts';

const cidr = (text: string) => {
  const [addressPrefix, length] = text.split('/');
  return { addressPrefix, prefixLen: Number(length) };
};

function selector(chains: Readonly<Record<string, object>>) {
  return filterChainSelector(
    Object.entries(chains).map(([chain, json]) => ({
      chain,
      match: message(
        envoy.config.listener.v3.FilterChainMatch,
        'envoy.config.listener.v3.FilterChainMatch',
        json,
      ),
    })),
    testContext(),
  );
}

function connection(o: {
  readonly to?: string;
  readonly port?: number;
  readonly from?: string;
  readonly sni?: string;
  readonly protocols?: readonly string[];
  readonly transport?: 'tls' | 'raw_buffer';
}) {
  const info = createConnectionInfo({
    remoteAddress: { kind: 'ip', ip: o.from ?? '10.9.9.9', port: 50_000 },
    localAddress: { kind: 'ip', ip: o.to ?? '10.0.0.1', port: o.port ?? 443 },
    startTimeMs: 0,
  });
  if (o.sni !== undefined) info.requestedServerName = o.sni;
  info.applicationProtocols = o.protocols ?? [];
  info.transportProtocol = o.transport ?? 'raw_buffer';
  return info;
}

describe('filter_chain_match', () => {
  it('lets the destination port decide before the server name, and never turns back', () => {
    const select = selector({
      port: { destinationPort: 443, transportProtocol: 'tls' },
      name: { serverNames: ['a.example'] },
    });
    expect(select(connection({ transport: 'tls', sni: 'a.example' }))).toBe('port');
    expect(select(connection({ transport: 'raw_buffer', sni: 'a.example' }))).toBeUndefined();
    expect(select(connection({ port: 80, sni: 'a.example' }))).toBe('name');
  });

  it.each([
    ['an exact name', 'www.a.example', 'exact'],
    ['the longest wildcard', 'x.b.a.example', 'long'],
    ['a wildcard over many labels', 'x.y.a.example', 'short'],
    ['no wildcard for the apex', 'a.example', 'none'],
    ['the chain without names for others', 'c.example', 'none'],
  ])('finds %s', (_, sni, expected) => {
    const select = selector({
      exact: { serverNames: ['www.a.example'] },
      long: { serverNames: ['*.b.a.example'] },
      short: { serverNames: ['*.a.example'] },
      none: {},
    });
    expect(select(connection({ sni }))).toBe(expected);
  });

  it('prefers the longest address range', () => {
    const select = selector({
      host: { prefixRanges: [cidr('10.0.0.1/32')] },
      net: { prefixRanges: [cidr('10.0.0.0/8')] },
      v6: { prefixRanges: [cidr('fd00::/8')] },
    });
    expect(select(connection({ to: '10.0.0.1' }))).toBe('host');
    expect(select(connection({ to: '10.0.0.2' }))).toBe('net');
    expect(select(connection({ to: 'fd00::9' }))).toBe('v6');
    expect(select(connection({ to: '11.0.0.2' }))).toBeUndefined();
  });

  it("tells Istio's sidecar protocols apart", () => {
    const select = selector({
      mtlsHttp: { transportProtocol: 'tls', applicationProtocols: ['istio-http/1.1', 'istio-h2'] },
      http: { transportProtocol: 'raw_buffer', applicationProtocols: ['http/1.1', 'h2c'] },
      mtls: { transportProtocol: 'tls', applicationProtocols: ['istio'] },
      raw: { transportProtocol: 'raw_buffer' },
      tls: { transportProtocol: 'tls' },
    });
    expect(select(connection({ transport: 'tls', protocols: ['istio-h2'] }))).toBe('mtlsHttp');
    expect(select(connection({ transport: 'tls', protocols: ['istio'] }))).toBe('mtls');
    expect(select(connection({ transport: 'tls', protocols: ['h2'] }))).toBe('tls');
    expect(select(connection({ protocols: ['h2c'] }))).toBe('http');
    expect(select(connection({}))).toBe('raw');
  });

  it('tells clients of this machine apart', () => {
    const select = selector({
      local: { sourceType: 'SAME_IP_OR_LOOPBACK' },
      far: { sourceType: 'EXTERNAL' },
    });
    expect(select(connection({ from: '127.0.0.1' }))).toBe('local');
    expect(select(connection({ from: '10.0.0.1', to: '10.0.0.1' }))).toBe('local');
    expect(select(connection({}))).toBe('far');
  });

  it('refuses two chains with equal matches', () => {
    expect(() => selector({ a: { destinationPort: 1 }, b: { destinationPort: 1 } })).toThrow(
      'test: filter_chains[1].filter_chain_match: has the same matching rules as another filter chain',
    );
  });

  it('refuses partial wildcards', () => {
    expect(() => selector({ a: { serverNames: ['a*.example'] } })).toThrow('partial wildcards');
  });
});
