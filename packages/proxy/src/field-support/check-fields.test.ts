import { describe, expect, it } from '@jest/globals';
import { envoyFields } from '@weft/api/envoy-fields';
import { envoyFromJson } from '@weft/api/envoy-json';
import fc from 'fast-check';
import protobuf from 'protobufjs/minimal.js';
import { checkFields } from './check-fields.ts';
import { randomMessage, unsupportedFields, withField } from './testing/random-message.ts';
import { supportTable } from './table/index.ts';

const CLUSTER = 'envoy.config.cluster.v3.Cluster';
const LISTENER = 'envoy.config.listener.v3.Listener';
const ROUTES = 'envoy.config.route.v3.RouteConfiguration';
const typed = (type: string, config: object = {}) => ({
  name: 'x',
  typed_config: { '@type': `type.googleapis.com/${type}`, ...config },
});
const chain = (...filters: readonly object[]) => ({ filter_chains: [{ filters }] });
const manager = (config: object) =>
  chain(typed('envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager', config));
const check = (type: string, json: object) => () =>
  checkFields(type, envoyFromJson(type, json), { resource: 'r' });

describe('a resource', () => {
  it.each<[string, string, object, string]>([
    ['of the resource', CLUSTER, { health_checks: [{}] }, 'r: health_checks[0]: not supported'],
    [
      'of a message in a list in a list',
      ROUTES,
      {
        virtual_hosts: [{ routes: [{}, {}, { route: { cluster: 'c', rate_limits: [{ stage: 1 }] } }] }],
      },
      'r: virtual_hosts[0].routes[2].route.rate_limits[0]: not supported',
    ],
    [
      'in an Any',
      LISTENER,
      manager({ stat_prefix: 'x', scoped_routes: { name: 's' } }),
      'r: filter_chains[0].filters[0].typed_config.scoped_routes: not supported',
    ],
    [
      'in an Any of an Any',
      LISTENER,
      manager({
        http_filters: [
          typed('envoy.extensions.filters.http.router.v3.Router', { strict_check_headers: ['x'] }),
        ],
      }),
      'r: filter_chains[0].filters[0].typed_config.http_filters[0].typed_config.strict_check_headers[0]: not supported',
    ],
    [
      'in a map',
      ROUTES,
      {
        typed_per_filter_config: {
          'my.fault': {
            '@type': 'type.googleapis.com/envoy.extensions.filters.http.fault.v3.HTTPFault',
            response_rate_limit: {},
          },
        },
      },
      'r: typed_per_filter_config["my.fault"].response_rate_limit: not supported',
    ],
    [
      'in a TypedStruct',
      LISTENER,
      manager({
        http_filters: [
          typed('udpa.type.v1.TypedStruct', {
            type_url: 'type.googleapis.com/stats.PluginConfig',
            value: { definitions: [{ name: 'm' }] },
          }),
        ],
      }),
      'typed_config.http_filters[0].typed_config.definitions[0]: not supported',
    ],
    [
      'that holds a type which nothing here acts on',
      CLUSTER,
      {
        transport_socket: typed(
          'envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport',
        ),
      },
      "r: transport_socket.typed_config: Didn't find a registered implementation for type URL",
    ],
    [
      'whose value is not supported',
      CLUSTER,
      { wait_for_warm_on_init: false },
      'r: wait_for_warm_on_init: false is not supported',
    ],
    [
      'whose kind is not supported',
      LISTENER,
      manager({ codec_type: 'HTTP3' }),
      'typed_config.codec_type: HTTP3 is not supported',
    ],
    [
      'that tells more than what is ignored',
      LISTENER,
      manager({ tracing: { random_sampling: { value: 100 }, provider: { name: 'zipkin' } } }),
      'typed_config.tracing.provider: not supported',
    ],
  ])('is refused for a field %s', (_, type, json, message) => {
    expect(check(type, json)).toThrow(message);
  });

  it('is refused for a field that only newer versions of Envoy have', () => {
    const bytes = withField(envoyFromJson(CLUSTER, { name: 'c' }), 58, Buffer.from([8, 1]));
    expect(() => checkFields(CLUSTER, bytes, { resource: 'c' })).toThrow('c: dns_jitter: not supported');
  });

  it('is refused for an empty message that only newer versions have', () => {
    const requirement = 'envoy.extensions.filters.http.jwt_authn.v3.JwtRequirement';
    const bytes = withField(new Uint8Array(), 7, new Uint8Array());
    expect(() => checkFields(requirement, bytes, { resource: 'r' })).toThrow(
      'r: extract_only_without_validation: not supported',
    );
  });

  it('may have a field that no version knows, which is told', () => {
    const unknown: string[] = [];
    const bytes = withField(envoyFromJson(CLUSTER, { name: 'c' }), 9_999, Buffer.from('x'));
    checkFields(CLUSTER, bytes, { resource: 'c', onUnknown: (...where) => unknown.push(where.join(' ')) });
    expect(unknown).toEqual(['c #9999']);
  });

  it.each<[string, string, object]>([
    ['a boolean that is off', LISTENER, { enable_mptcp: false }],
    ['a boolean message that is off', LISTENER, { transparent: false }],
    ['the first value of an enum', LISTENER, { drain_type: 'DEFAULT' }],
    ['an empty text', LISTENER, manager({ http_filters: [], stat_prefix: '' })],
    ['a limited field with an accepted value', CLUSTER, { wait_for_warm_on_init: true }],
    ['tracing without provider', LISTENER, manager({ tracing: { random_sampling: { value: 1 } } })],
    [
      'a keep-alive option of sockets',
      LISTENER,
      { socket_options: [{ level: 1, name: 9, int_value: 1, state: 'STATE_LISTENING' }] },
    ],
    [
      'a load-balancing policy that it does not know, for a later one may be known',
      CLUSTER,
      {
        load_balancing_policy: {
          policies: [
            { typed_extension_config: typed('envoy.extensions.load_balancing_policies.maglev.v3.Maglev') },
          ],
        },
      },
    ],
  ])('may have %s', (_, type, json) => {
    expect(check(type, json)).not.toThrow();
  });

  it('is refused when it is no message at all', () => {
    expect(() => checkFields(CLUSTER, Buffer.from([0x0a, 0xff]), { resource: 'c' })).toThrow(
      'c: malformed message',
    );
  });

  it('does not overflow the stack, however deep it is', () => {
    const matcher = protobuf.Writer.create();
    let bytes: Uint8Array = matcher.finish();
    // Permission.not_rule of a not_rule of …
    for (let i = 0; i < 10_000; i++) {
      bytes = protobuf.Writer.create()
        .uint32((8 << 3) | 2)
        .bytes(bytes)
        .finish();
      if (bytes.length > 30_000) break;
    }
    expect(() => checkFields('envoy.config.rbac.v3.Permission', bytes, { resource: 'r' })).toThrow(
      'nested too deep',
    );
  });
});

const messages = Object.keys(supportTable);

describe('whatever the message,', () => {
  it('one of fields that work is never refused', () => {
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.infiniteStream(fc.nat()), (type, numbers) => {
        const bytes = randomMessage(type, () => numbers.next().value);
        checkFields(type, bytes, { resource: 'r' });
      }),
      { numRuns: 2_000, seed: 4 },
    );
  });

  it('bytes that are none are refused or pass, and nothing else happens', () => {
    fc.assert(
      fc.property(fc.constantFrom(...messages), fc.uint8Array({ maxLength: 64 }), (type, bytes) => {
        try {
          checkFields(type, bytes, { resource: 'r' });
        } catch (error) {
          expect(error).toMatchObject({ code: 'WEFT2101', resource: 'r' });
        }
      }),
      { numRuns: 5_000, seed: 4 },
    );
  });

  it('one with a field that does not is always refused, by that field’s name', () => {
    const cases = messages.flatMap((type) => unsupportedFields(type).map((number) => ({ type, number })));
    fc.assert(
      fc.property(fc.constantFrom(...cases), fc.infiniteStream(fc.nat()), ({ type, number }, numbers) => {
        const field = envoyFields(type)?.get(number);
        const good = randomMessage(type, () => numbers.next().value);
        const bytes = withField(good, number, Buffer.from([8, 1]));
        let error: unknown;
        try {
          checkFields(type, bytes, { resource: 'r' });
        } catch (thrown) {
          error = thrown;
        }
        expect(error).toMatchObject({ code: 'WEFT2101', resource: 'r' });
        expect(error).toHaveProperty('path', expect.stringContaining(field?.name ?? '?'));
      }),
      { numRuns: 2_000, seed: 4 },
    );
  });
});
