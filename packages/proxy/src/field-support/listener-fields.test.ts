import { createServer, connect, type AddressInfo } from 'node:net';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, it } from '@jest/globals';
import { envoy, xds } from '@weft/api/envoy';
import { parseBootstrap } from '../config/bootstrap.ts';
import { createConnectionInfo } from '../network/connection-info.ts';
import { filterChainSelector } from '../network/filter-chain-match.ts';
import { Listener } from '../network/listener.ts';
import { connectionMatcher } from '../network/matcher-tree.ts';
import { Proxy, type ProxyOptions } from '../proxy.ts';
import { message, testContext } from '../testing/compile.ts';
import { listener, staticCluster, tcpFilterChain } from '../testing/resources.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that speaks first: its name. */
async function greeter(name: string): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    socket.end(name);
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  cleanups.push(() => server.close());
  return (server.address() as AddressInfo).port; // a TCP server's address is always this
}

async function start(listeners: readonly object[], options: Partial<ProxyOptions> = {}): Promise<Proxy> {
  const clusters = [staticCluster('one', await greeter('one')), staticCluster('two', await greeter('two'))];
  const proxy = new Proxy({
    bootstrap: parseBootstrap({ static_resources: { clusters, listeners } }),
    ...options,
  });
  cleanups.push(() => proxy.close());
  await proxy.start();
  return proxy;
}

const addressesOf = (proxy: Proxy, name: string): readonly string[] =>
  proxy.listeners.status().find((l) => l.name === name)?.addresses ?? [];
/** What a connection is sent until its end. */
async function read(
  proxy: Proxy,
  name: string,
  o: { readonly index?: number; readonly send?: string } = {},
): Promise<string> {
  const [host = '', port] = (addressesOf(proxy, name)[o.index ?? 0] ?? '').split(':');
  return readFrom(Number(port), host, o.send);
}

async function readFrom(port: number, host: string, send?: string): Promise<string> {
  const socket = connect(port, host);
  cleanups.push(() => socket.destroy());
  if (send !== undefined) socket.write(send);
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  await new Promise<void>((resolve) => {
    socket.once('close', () => resolve());
    socket.once('error', () => resolve());
  });
  return text;
}

const listenerFilter = (name: string, config: object = {}) => ({
  name,
  typed_config: { '@type': `type.googleapis.com/envoy.extensions.filters.listener.${name}`, ...config },
});
/** The inspectors may be named without configuration. */
const tlsInspector = { name: 'envoy.filters.listener.tls_inspector' };

describe('a field of a listener has its effect', () => {
  it('additional_addresses', async () => {
    const proxy = await start([
      listener('l', [tcpFilterChain('one')], {
        additional_addresses: [{ address: { socket_address: { address: '127.0.0.2', port_value: 0 } } }],
      }),
    ]);
    expect(addressesOf(proxy, 'l')).toHaveLength(2);
    expect([await read(proxy, 'l'), await read(proxy, 'l', { index: 1 })]).toEqual(['one', 'one']);
  });

  it('ipv4_compat: whether :: leaves IPv4 to others', async () => {
    const address = (ip: string, ipv4_compat: boolean) => ({
      address: { socket_address: { address: ip, port_value: 0, ipv4_compat } },
    });
    const proxy = await start([
      listener('both', [tcpFilterChain('one')], address('::', true)),
      listener('v6', [tcpFilterChain('one')], address('::', false)),
    ]);
    const portOf = (name: string): number => Number(addressesOf(proxy, name)[0]?.split(':').at(-1));
    expect(await readFrom(portOf('both'), '127.0.0.1')).toBe('one');
    expect(await readFrom(portOf('v6'), '127.0.0.1')).toBe('');
    expect(await readFrom(portOf('v6'), '::1')).toBe('one');
  });

  it('stat_prefix', async () => {
    const proxy = await start([listener('l', [tcpFilterChain('one')], { stat_prefix: 'mine' })]);
    await read(proxy, 'l');
    expect(proxy.stats.counter('listener.mine.downstream_cx_total').value).toBe(1);
  });

  it('default_filter_chain', async () => {
    const proxy = await start([
      listener('l', [tcpFilterChain('one', { match: { server_names: ['a.test'] } })], {
        default_filter_chain: tcpFilterChain('two'),
      }),
    ]);
    expect(await read(proxy, 'l')).toBe('two');
  });

  it('use_original_dst and bind_to_port: connections go to the listener of their first destination', async () => {
    const other = listener('other', [tcpFilterChain('two')], {
      address: { socket_address: { address: '10.9.8.7', port_value: 81 } },
      bind_to_port: false,
    });
    const proxy = await start([listener('l', [tcpFilterChain('one')], { use_original_dst: true }), other], {
      originalDestination: () => ({ kind: 'ip', ip: '10.9.8.7', port: 81 }),
    });
    expect(await read(proxy, 'l')).toBe('two');
  });

  it('listener_filters_timeout: a silent client is closed, or served with continue_on_listener_filters_timeout', async () => {
    const waiting = { listener_filters: [tlsInspector], listener_filters_timeout: '0.02s' };
    const proxy = await start([
      listener('closes', [tcpFilterChain('one')], waiting),
      listener('continues', [tcpFilterChain('one')], {
        ...waiting,
        continue_on_listener_filters_timeout: true,
      }),
    ]);
    expect([await read(proxy, 'closes'), await read(proxy, 'continues')]).toEqual(['', 'one']);
  });

  it('access_log: connections that no chain takes', async () => {
    const directory = mkdtempSync(path.join(tmpdir(), 'weft-listener-fields-'));
    cleanups.push(() => rmSync(directory, { recursive: true }));
    const file = path.join(directory, 'log');
    const proxy = await start([
      listener('l', [tcpFilterChain('one', { match: { server_names: ['a.test'] } })], {
        access_log: [
          {
            name: 'file',
            typed_config: {
              '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
              path: file,
              log_format: { text_format: '%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%\n' },
            },
          },
        ],
      }),
    ]);
    await read(proxy, 'l');
    await proxy.close();
    expect(readFileSync(file, 'utf8')).toBe('NR filter_chain_not_found\n');
  });

  it('listener_filters.filter_disabled: and_match, not_match, any_match', async () => {
    const disabled = (rule: object) => ({
      listener_filters: [{ ...tlsInspector, filter_disabled: rule }],
      listener_filters_timeout: '0.02s',
    });
    const any = { any_match: true };
    const proxy = await start([
      listener('any', [tcpFilterChain('one')], disabled(any)),
      listener('not', [tcpFilterChain('one')], disabled({ not_match: any })),
      listener('and', [tcpFilterChain('one')], disabled({ and_match: { rules: [any, { not_match: any }] } })),
    ]);
    const texts = await Promise.all(['any', 'not', 'and'].map((name) => read(proxy, name)));
    expect(texts).toEqual(['one', '', '']);
  });

  it('ProxyProtocol.allow_requests_without_proxy_protocol', async () => {
    const withFilter = (allow_requests_without_proxy_protocol: boolean) => ({
      listener_filters: [
        listenerFilter('proxy_protocol.v3.ProxyProtocol', { allow_requests_without_proxy_protocol }),
      ],
    });
    const proxy = await start([
      listener('strict', [tcpFilterChain('one')], withFilter(false)),
      listener('lenient', [tcpFilterChain('one')], withFilter(true)),
    ]);
    const send = 'GET / HTTP/1.1\r\n\r\n';
    expect([await read(proxy, 'strict', { send }), await read(proxy, 'lenient', { send })]).toEqual([
      '',
      'one',
    ]);
  });

  it('transport_socket_connect_timeout: a handshake that does not come', async () => {
    const chain = {
      ...tcpFilterChain('one'),
      transport_socket_connect_timeout: '0.02s',
      transport_socket: {
        name: 'tls',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext',
          common_tls_context: { tls_certificate_sds_secret_configs: [{ name: 'missing' }] },
        },
      },
    };
    const proxy = await start([listener('l', [chain])]);
    expect(await read(proxy, 'l')).toBe('');
  });

  it.each<[string, object, object]>([
    ['traffic_direction', { traffic_direction: 'OUTBOUND' }, { trafficDirection: 'outbound' }],
    ['tcp_backlog_size', { tcp_backlog_size: 7 }, { backlog: 7 }],
    ['per_connection_buffer_limit_bytes', { per_connection_buffer_limit_bytes: 9 }, { bufferLimitBytes: 9 }],
  ])('%s', (_, fields, expected) => {
    const json = listener('l', [tcpFilterChain('one')], fields);
    const { Listener: Message } = envoy.config.listener.v3;
    const network = { compile: () => ({ kind: 'terminal', accept: () => undefined }) as const };
    const context = testContext();
    const engine = {
      ...context.engine,
      networkFilter: () => ({ name: 'tcp', typeUrls: [], ...network }),
    };
    const compiled = new Listener(
      message(Message, 'envoy.config.listener.v3.Listener', json),
      { ...context, engine, at: () => ({ ...context, engine, at: () => ({ ...context, engine }) }) },
      { handOver: () => undefined },
    );
    expect(compiled).toMatchObject(expected);
    compiled.close();
  });
});

const connectionFrom = (remote: { readonly ip: string; readonly port: number }, direct = remote.ip) => {
  const info = createConnectionInfo({
    remoteAddress: { kind: 'ip', ip: direct, port: remote.port },
    localAddress: { kind: 'ip', ip: '10.0.0.9', port: 80 },
    startTimeMs: 0,
  });
  info.remoteAddress = { kind: 'ip', ...remote };
  return info;
};

describe('a field of a match has its effect', () => {
  const { FilterChainMatch } = envoy.config.listener.v3;
  const range = [{ address_prefix: '10.1.0.0', prefix_len: 16 }];

  it.each<[string, object, ReturnType<typeof connectionFrom>, ReturnType<typeof connectionFrom>]>([
    [
      'source_prefix_ranges',
      { source_prefix_ranges: range },
      connectionFrom({ ip: '10.1.2.3', port: 5 }, '10.2.0.1'),
      connectionFrom({ ip: '10.2.2.3', port: 5 }),
    ],
    [
      'source_ports',
      { source_ports: [5] },
      connectionFrom({ ip: '10.1.2.3', port: 5 }),
      connectionFrom({ ip: '10.1.2.3', port: 6 }),
    ],
    [
      'direct_source_prefix_ranges',
      { direct_source_prefix_ranges: range },
      connectionFrom({ ip: '10.2.0.1', port: 5 }, '10.1.2.3'),
      connectionFrom({ ip: '10.1.2.3', port: 5 }, '10.2.0.1'),
    ],
  ])('filter_chain_match.%s', (_, json, yes, no) => {
    const match = message(FilterChainMatch, 'envoy.config.listener.v3.FilterChainMatch', json);
    const select = filterChainSelector([{ match, chain: 'chosen' }], testContext());
    expect([select(yes), select(no)]).toEqual(['chosen', undefined]);
  });

  const input = {
    name: 'x',
    typed_config: {
      '@type': 'type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3.ServerNameInput',
    },
  };
  const chain = (value: string) => ({
    action: {
      name: value,
      typed_config: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value },
    },
  });
  const chosen = (matcher: object, serverName: string) => {
    const Message = xds.type.matcher.v3.Matcher;
    const info = connectionFrom({ ip: '10.0.0.1', port: 1 });
    info.requestedServerName = serverName;
    return connectionMatcher(message(Message, 'xds.type.matcher.v3.Matcher', matcher), testContext())(info);
  };
  const single = (value_match: object) => ({ single_predicate: { input, value_match } });
  const list = (predicate: object) => ({
    matcher_list: { matchers: [{ predicate, on_match: chain('chosen') }] },
  });

  it.each<[string, object]>([
    [
      'matcher_list: or_matcher',
      list({ or_matcher: { predicate: [single({ exact: 'x' }), single({ exact: 'a.test' })] } }),
    ],
    ['StringMatcher.suffix', list(single({ suffix: '.test' }))],
    ['StringMatcher.contains', list(single({ contains: '.te' }))],
    ['StringMatcher.ignore_case', list(single({ exact: 'A.TEST', ignore_case: true }))],
    [
      'matcher_tree.prefix_match_map: the longest prefix',
      { matcher_tree: { input, prefix_match_map: { map: { '': chain('short'), 'a.': chain('chosen') } } } },
    ],
  ])('%s', (_, matcher) => {
    expect(chosen(matcher, 'a.test')).toBe('chosen');
    expect(chosen(matcher, 'b.other')).not.toBe('chosen');
  });
});
