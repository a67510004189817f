import { describe, expect, it } from '@jest/globals';
import { xds } from '@weft/api/envoy';
import type { ConnectionInfo } from '../engine/types.ts';
import { message, testContext } from '../testing/compile.ts';
import { createConnectionInfo } from './connection-info.ts';
import { connectionMatcher } from './matcher-tree.ts';

const inputs = 'type.googleapis.com/envoy.extensions.matching.common_inputs.network.v3';
const chain = (value: string) => ({
  action: {
    name: value,
    typed_config: { '@type': 'type.googleapis.com/google.protobuf.StringValue', value },
  },
});
const input = (name: string, fields: object = {}) => ({
  name,
  typed_config: { '@type': `${inputs}.${name}`, ...fields },
});

/** The tree of l7-proxy.md §2.1: destination address, then port, then protocol. */
const waypointTree = {
  matcher_tree: {
    input: input('DestinationIPInput'),
    custom_match: {
      name: 'ip',
      typed_config: {
        '@type': 'type.googleapis.com/xds.type.matcher.v3.IPMatcher',
        range_matchers: [
          {
            ranges: [{ address_prefix: '240.240.0.1', prefix_len: 32 }],
            on_match: {
              matcher: {
                matcher_tree: {
                  input: input('DestinationPortInput'),
                  exact_match_map: {
                    map: {
                      80: chain('http'),
                      81: {
                        matcher: {
                          matcher_tree: {
                            input: input('ApplicationProtocolInput'),
                            exact_match_map: { map: { "'h2c'": chain('http'), "'http/1.1'": chain('http') } },
                          },
                          on_no_match: chain('tcp'),
                        },
                      },
                    },
                  },
                },
              },
            },
          },
          { ranges: [{ address_prefix: '240.240.0.0', prefix_len: 16 }], on_match: chain('range') },
          {
            ranges: [{ address_prefix: '240.241.0.0', prefix_len: 16 }],
            exclusive: true,
            on_match: {
              matcher: {
                matcher_tree: {
                  input: input('DestinationPortInput'),
                  exact_match_map: { map: { 1: chain('one') } },
                },
              },
            },
          },
          { ranges: [{ address_prefix: '240.0.0.0', prefix_len: 4 }], on_match: chain('wide') },
        ],
      },
    },
  },
};

function compiled(json: unknown) {
  return connectionMatcher(
    message(xds.type.matcher.v3.Matcher, 'xds.type.matcher.v3.Matcher', json),
    testContext(),
  );
}

function connection(ip: string, port: number, applicationProtocols: readonly string[] = []): ConnectionInfo {
  const info = createConnectionInfo({
    remoteAddress: { kind: 'ip', ip: '10.0.0.1', port: 1 },
    localAddress: { kind: 'ip', ip, port },
    startTimeMs: 0,
  });
  info.applicationProtocols = applicationProtocols;
  return info;
}

describe('a matcher tree over connections', () => {
  const match = compiled(waypointTree);
  it.each([
    ['a declared HTTP port', '240.240.0.1', 80, [], 'http'],
    ['a sniffed port, HTTP/1.1', '240.240.0.1', 81, ['http/1.1'], 'http'],
    ['a sniffed port, HTTP/2', '240.240.0.1', 81, ['h2c'], 'http'],
    ['a sniffed port, anything else', '240.240.0.1', 81, [], 'tcp'],
    ['a shorter range, when the longer one finds no port', '240.240.0.1', 82, [], 'range'],
    ['nothing, when the longer range is exclusive', '240.241.0.1', 82, [], undefined],
    ['the exclusive range itself', '240.241.0.1', 1, [], 'one'],
    ['the widest range', '250.0.0.1', 80, [], 'wide'],
    ['nothing outside of all ranges', '10.0.0.1', 80, [], undefined],
    ['nothing for the other family', 'fd00::1', 80, [], undefined],
  ] as const)('finds %s', (_, ip, port, protocols, expected) => {
    expect(match(connection(ip, port, protocols))).toBe(expected);
  });

  it('reads filter state', () => {
    const byAuthority = compiled({
      matcher_tree: {
        input: input('FilterStateInput', { key: 'io.istio.connect_authority' }),
        exact_match_map: { map: { 'a.example:80': chain('a') } },
      },
      on_no_match: chain('none'),
    });
    const info = connection('10.0.0.1', 80);
    expect(byAuthority(info)).toBe('none');
    info.filterState.set('io.istio.connect_authority', 'a.example:80');
    expect(byAuthority(info)).toBe('a');
  });

  it('tries a list in order', () => {
    const list = compiled({
      matcher_list: {
        matchers: [
          {
            predicate: {
              and_matcher: {
                predicate: [
                  {
                    single_predicate: { input: input('DestinationPortInput'), value_match: { exact: '80' } },
                  },
                  {
                    not_matcher: {
                      single_predicate: {
                        input: input('DestinationIPInput'),
                        value_match: { prefix: '10.' },
                      },
                    },
                  },
                ],
              },
            },
            on_match: chain('first'),
          },
        ],
      },
    });
    expect(list(connection('11.0.0.1', 80))).toBe('first');
    expect(list(connection('10.0.0.1', 80))).toBeUndefined();
  });

  it('names the field that it has no implementation for', () => {
    const unknown = { matcher_tree: { input: { name: 'x' }, exact_match_map: { map: {} } } };
    expect(() => compiled(unknown)).toThrow('test: matcher_tree.input: an input is required');
  });
});
