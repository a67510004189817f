/** The configuration both proxies get: every listener has the same route table and its own edge options. */

export interface UpstreamPorts {
  readonly a: number;
  readonly b: number;
  readonly h2: number;
  readonly dead: number;
}

const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;

/** Options of a connection manager, and the filters before the router, by the name of its listener. */
const managers = {
  /** As Istio configures a waypoint: normalises, keeps escaped slashes, trusts what it gets. */
  plain: { normalize_path: true, path_with_escaped_slashes_action: 'KEEP_UNCHANGED' },
  /** As an edge: appends XFF, cleans headers, redirects to the clean path. */
  edge: {
    use_remote_address: true,
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_REDIRECT',
    strip_any_host_port: true,
    always_set_request_id_in_response: true,
    via: 'edge',
    common_http_protocol_options: { headers_with_underscores_action: 'REJECT_REQUEST' },
  },
  /** Touches as little as it can. */
  literal: {
    generate_request_id: false,
    path_with_escaped_slashes_action: 'REJECT_REQUEST',
    server_header_transformation: 'PASS_THROUGH',
    strip_matching_host_port: true,
    proxy_100_continue: true,
    http_protocol_options: { accept_http_10: true, default_host_for_http_10: 'old.test' },
    common_http_protocol_options: { headers_with_underscores_action: 'DROP_HEADER' },
  },
  /** Behind another proxy. */
  behind: {
    use_remote_address: true,
    xff_num_trusted_hops: 1,
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
    server_header_transformation: 'APPEND_IF_ABSENT',
    common_http_protocol_options: { max_headers_count: 20 },
    http_protocol_options: { enable_trailers: true },
  },
  deny: { normalize_path: true, merge_slashes: false },
  allow: { normalize_path: true, merge_slashes: true },
} as const satisfies Record<string, object>;

export type ListenerName = keyof typeof managers;
export const listenerNames = Object.keys(managers) as readonly ListenerName[]; // its own keys

const urlPath = (match: object): object => ({ url_path: { path: match } });
const header = (name: string, match: object): object => ({ header: { name, string_match: match } });
const anyone = [{ any: true }];

/** Policies in the shapes that Istio's AuthorizationPolicy becomes. */
const policies: Partial<Record<ListenerName, object>> = {
  deny: {
    action: 'DENY',
    policies: {
      'a-path': { permissions: [urlPath({ prefix: '/admin' })], principals: anyone },
      'b-exact': { permissions: [urlPath({ exact: '/exact/secret' })], principals: anyone },
      'c-suffix': { permissions: [urlPath({ suffix: '.key' })], principals: anyone },
      'd-method': {
        permissions: [
          { and_rules: { rules: [header(':method', { exact: 'DELETE' }), urlPath({ prefix: '/' })] } },
        ],
        principals: anyone,
      },
      'e-header': { permissions: [{ any: true }], principals: [header('x-user', { exact: 'bad' })] },
      'f-not-header': {
        permissions: [urlPath({ prefix: '/only-good' })],
        principals: [{ not_id: header('x-user', { exact: 'good' }) }],
      },
      'g-host': { permissions: [header(':authority', { exact: 'denied.test' })], principals: anyone },
      'h-regex': {
        permissions: [urlPath({ safe_regex: { regex: '/v[0-9]+/internal(/.*)?' } })],
        principals: anyone,
      },
      'i-forwarded': {
        permissions: [urlPath({ prefix: '/from' })],
        principals: [{ remote_ip: { address_prefix: '10.9.0.0', prefix_len: 16 } }],
      },
    },
  },
  allow: {
    action: 'ALLOW',
    policies: {
      'a-get': {
        permissions: [
          {
            and_rules: {
              rules: [
                { or_rules: { rules: ['GET', 'HEAD'].map((m) => header(':method', { exact: m })) } },
                { or_rules: { rules: [urlPath({ exact: '/exact' }), urlPath({ prefix: '/prefix/' })] } },
              ],
            },
          },
        ],
        principals: anyone,
      },
      'b-not-path': {
        permissions: [
          {
            and_rules: {
              rules: [
                urlPath({ prefix: '/psp' }),
                { not_rule: { or_rules: { rules: [urlPath({ prefix: '/psp/private' })] } } },
              ],
            },
          },
        ],
        principals: [
          {
            and_ids: {
              ids: [header('x-user', { prefix: 'u-' }), { not_id: header('x-user', { exact: 'u-0' }) }],
            },
          },
        ],
      },
      'c-template': {
        permissions: [
          {
            uri_template: {
              name: 'envoy.path.match.uri_template.uri_template_matcher',
              typed_config: {
                '@type':
                  'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
                path_template: '/t/{a}/x/{b=**}',
              },
            },
          },
        ],
        principals: anyone,
      },
      'd-loopback': {
        permissions: [urlPath({ prefix: '/local' })],
        principals: [{ direct_remote_ip: { address_prefix: '127.0.0.0', prefix_len: 8 } }],
      },
    },
  },
};

/** Routes say their names in the response, so that a different choice shows. */
function named(name: string, match: object, action: object): object {
  const mark = { header: { key: 'x-route', value: name }, append_action: 'OVERWRITE_IF_EXISTS_OR_ADD' };
  const added =
    'response_headers_to_add' in action ? (action.response_headers_to_add as readonly object[]) : [];
  return { name, match, ...action, response_headers_to_add: [...added, mark] };
}
const to = (cluster: string, more: object = {}): object => ({ route: { cluster, ...more } });
const prefixed = (prefix: string, action: object, more: object = {}): object =>
  named(prefix === '/' ? 'catch-all' : prefix.replaceAll('/', '.').slice(1), { prefix, ...more }, action);
const matching = (prefix: string, name: string, string_match: object, more: object = {}): object =>
  prefixed(prefix, to('b'), { headers: [{ name, string_match, ...more }] });
const append = (key: string, value: string, append_action: string, more: object = {}): object => ({
  header: { key, value },
  append_action,
  ...more,
});
const APPEND = 'APPEND_IF_EXISTS_OR_ADD';
const ABSENT = 'ADD_IF_ABSENT';
const OVERWRITE = 'OVERWRITE_IF_EXISTS_OR_ADD';
const OVERWRITE_ONLY = 'OVERWRITE_IF_EXISTS';
const regex = (text: string): object => ({ regex: text });
const retry = (retry_on: string, more: object = {}): object =>
  to('a', { retry_policy: { retry_on, num_retries: 2, retry_back_off: backOff, ...more } });
const backOff = { base_interval: '0.001s', max_interval: '0.002s' };

const matchRoutes = [
  named('exact', { path: '/exact' }, to('a')),
  named('exact-ci', { path: '/Exact-CI', case_sensitive: false }, to('b')),
  named('prefix', { prefix: '/prefix/' }, to('b')),
  named('prefix-ci', { prefix: '/PREFIX-ci', case_sensitive: false }, to('a')),
  named('psp', { path_separated_prefix: '/psp' }, to('b')),
  named('psp-ci', { path_separated_prefix: '/Psp2', case_sensitive: false }, to('b')),
  named('regex', { safe_regex: regex('/re/[a-z]+/\\d{2,}') }, to('b')),
  named(
    'template',
    {
      path_match_policy: {
        name: 'envoy.path.match.uri_template.uri_template_matcher',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
          path_template: '/t/{a}/x/{b=**}',
        },
      },
    },
    to('b'),
  ),
  matching('/h/exact', 'x-h', { exact: 'One' }),
  matching('/h/ci', 'x-h', { exact: 'One', ignore_case: true }),
  matching('/h/prefix', 'x-h', { prefix: 'On' }),
  matching('/h/suffix', 'x-h', { suffix: 'ne' }),
  matching('/h/contains', 'x-h', { contains: 'n' }),
  matching('/h/regex', 'x-h', { safe_regex: regex('O(n|m)e') }),
  matching('/h/invert', 'x-h', { exact: 'One' }, { invert_match: true }),
  matching('/h/empty', 'x-h', { exact: 'One' }, { invert_match: true, treat_missing_header_as_empty: true }),
  prefixed('/h/present', to('b'), { headers: [{ name: 'x-h', present_match: true }] }),
  prefixed('/h/absent', to('b'), { headers: [{ name: 'x-h', present_match: false }] }),
  prefixed('/h/not-present', to('b'), {
    headers: [{ name: 'x-h', present_match: true, invert_match: true }],
  }),
  prefixed('/h/range', to('b'), { headers: [{ name: 'x-h', range_match: { start: -5, end: 10 } }] }),
  prefixed('/h/and', to('b'), {
    headers: [
      { name: 'x-h', string_match: { exact: 'One' } },
      { name: 'x-i', string_match: { exact: 'Two' } },
    ],
  }),
  prefixed('/h/method', to('b'), { headers: [{ name: ':method', string_match: { exact: 'PUT' } }] }),
  prefixed('/h/path', to('b'), { headers: [{ name: ':path', string_match: { contains: '?q' } }] }),
  prefixed('/h/authority', to('b'), {
    headers: [{ name: ':authority', string_match: { prefix: 'special' } }],
  }),
  prefixed('/q/exact', to('b'), { query_parameters: [{ name: 'k', string_match: { exact: '1' } }] }),
  prefixed('/q/present', to('b'), { query_parameters: [{ name: 'k', present_match: true }] }),
  prefixed('/q/regex', to('b'), {
    query_parameters: [{ name: 'k', string_match: { safe_regex: regex('[a-c]+') } }],
  }),
  prefixed('/q/and', to('b'), {
    query_parameters: [
      { name: 'k', string_match: { exact: '1' } },
      { name: 'l', present_match: true },
    ],
  }),
  prefixed('/never', to('b'), {
    runtime_fraction: { default_value: { numerator: 0, denominator: 'HUNDRED' } },
  }),
  prefixed('/grpc', to('b'), { grpc: {} }),
];

const actionRoutes = [
  prefixed('/h2', to('h2')),
  prefixed('/once', to('once')),
  prefixed('/dead', to('dead')),
  prefixed('/empty', to('empty')),
  prefixed('/no-cluster-500', to('nowhere', { cluster_not_found_response_code: 'INTERNAL_SERVER_ERROR' })),
  prefixed('/no-cluster', to('nowhere')),
  prefixed('/by-header', { route: { cluster_header: 'x-cluster' } }),
  prefixed('/weighted', {
    route: {
      weighted_clusters: {
        clusters: [
          {
            name: 'a',
            weight: 100,
            request_headers_to_add: [append('x-w', 'a', APPEND)],
            request_headers_to_remove: ['x-drop'],
            response_headers_to_add: [append('x-weight', 'a', APPEND)],
          },
          { name: 'b', weight: 0, request_headers_to_add: [append('x-w', 'b', APPEND)] },
        ],
      },
    },
    request_headers_to_add: [append('x-w', 'route', APPEND)],
  }),
  prefixed('/direct-empty', { direct_response: { status: 204 } }),
  prefixed('/direct', { direct_response: { status: 418, body: { inline_string: 'short and stout' } } }),
  prefixed('/redirect/host', { redirect: { host_redirect: 'other.test' } }),
  prefixed('/redirect/https', { redirect: { https_redirect: true } }),
  prefixed('/redirect/port', { redirect: { port_redirect: 8443, response_code: 'FOUND' } }),
  prefixed('/redirect/path', {
    redirect: { path_redirect: '/new?x=1', response_code: 'TEMPORARY_REDIRECT' },
  }),
  prefixed('/redirect/prefix', {
    redirect: { prefix_rewrite: '/swapped', strip_query: true, response_code: 'SEE_OTHER' },
  }),
  prefixed('/redirect/keep', {
    redirect: { prefix_rewrite: '/kept', response_code: 'PERMANENT_REDIRECT', scheme_redirect: 'HTTPS' },
  }),
  prefixed('/redirect/regex', {
    redirect: { regex_rewrite: { pattern: regex('/redirect/regex/(\\w+)'), substitution: '/\\1/\\0' } },
  }),
  prefixed('/rewrite/prefix', to('a', { prefix_rewrite: '/changed' })),
  prefixed('/rewrite/root/', to('a', { prefix_rewrite: '/' })),
  prefixed('/rewrite/slash', to('a', { prefix_rewrite: '/' })),
  named('rewrite.exact', { path: '/rewrite/exact' }, to('a', { prefix_rewrite: '/whole' })),
  prefixed(
    '/rewrite/regex',
    to('a', {
      regex_rewrite: { pattern: regex('^/rewrite/regex/([^/]+)/(.*)$'), substitution: '/\\2/at/\\1' },
    }),
  ),
  prefixed('/rewrite/every', to('a', { regex_rewrite: { pattern: regex('e+'), substitution: 'E' } })),
  named(
    'rewrite.template',
    {
      path_match_policy: {
        name: 'envoy.path.match.uri_template.uri_template_matcher',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig',
          path_template: '/rewrite/template/{lang}/{rest=**}',
        },
      },
    },
    to('a', {
      path_rewrite_policy: {
        name: 'envoy.path.rewrite.uri_template.uri_template_rewriter',
        typed_config: {
          '@type':
            'type.googleapis.com/envoy.extensions.path.rewrite.uri_template.v3.UriTemplateRewriteConfig',
          path_template_rewrite: '/{rest}/in/{lang}',
        },
      },
    }),
  ),
  prefixed('/rewrite/host', to('a', { host_rewrite_literal: 'rewritten.test' })),
  prefixed(
    '/rewrite/xfh',
    to('a', { host_rewrite_literal: 'rewritten.test', append_x_forwarded_host: true }),
  ),
  prefixed('/rewrite/from-header', to('a', { host_rewrite_header: 'x-host' })),
  prefixed(
    '/rewrite/from-path',
    to('a', {
      host_rewrite_path_regex: { pattern: regex('^/rewrite/from-path/(\\w+).*$'), substitution: '\\1.test' },
    }),
  ),
  prefixed('/rewrite/auto', to('named', { auto_host_rewrite: true })),
  prefixed('/mutate', {
    ...to('a'),
    request_headers_to_add: [
      append('x-append', 'route', APPEND),
      append('x-absent', 'route', ABSENT),
      append('x-overwrite', 'route', OVERWRITE),
      append('x-overwrite-only', 'route', OVERWRITE_ONLY),
      append('x-nothing', '%REQ(x-no-such)%', APPEND),
      append('x-kept', '%REQ(x-no-such)%', APPEND, { keep_empty_value: true }),
      append('x-format', '%REQ(:METHOD)% %PROTOCOL% %REQ(X-A?X-B)% 100%% %ROUTE_NAME%', APPEND),
      append('x-client', '%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%', APPEND),
    ],
    request_headers_to_remove: ['x-drop', 'X-Drop-Too'],
    response_headers_to_add: [
      append('x-append', 'route', APPEND),
      append('x-absent', 'route', ABSENT),
      append('x-overwrite', 'route', OVERWRITE),
      append('x-overwrite-only', 'route', OVERWRITE_ONLY),
      append('x-code', '%RESP(x-from)%/%RESPONSE_CODE%', APPEND),
    ],
    response_headers_to_remove: ['x-drop'],
  }),
  prefixed('/retry/5xx', retry('5xx')),
  prefixed('/retry/gateway', retry('gateway-error')),
  prefixed('/retry/4xx', retry('retriable-4xx')),
  prefixed('/retry/codes', retry('retriable-status-codes', { retriable_status_codes: [418, 503] })),
  prefixed('/retry/reset', retry('reset')),
  prefixed('/retry/unsent', retry('reset-before-request,connect-failure')),
  prefixed('/retry/grpc', retry('unavailable,cancelled')),
  prefixed(
    '/retry/headers',
    retry('retriable-headers', { retriable_headers: [{ name: 'x-again', present_match: true }] }),
  ),
  prefixed('/retry/limited', retry('5xx,envoy-ratelimited')),
  prefixed('/retry/per-try', retry('5xx', { per_try_timeout: '0.15s' })),
  prefixed('/retry/none', retry('5xx', { num_retries: 0 })),
  prefixed(
    '/retry/dead',
    to('dead', { retry_policy: { retry_on: 'connect-failure', num_retries: 1, retry_back_off: backOff } }),
  ),
  prefixed('/timeout/short', to('a', { timeout: '0.2s' })),
  prefixed('/timeout/none', to('a', { timeout: '0s' })),
  prefixed('/timeout/grpc', to('a', { timeout: '0s', max_grpc_timeout: '0s' })),
  prefixed('/timeout/idle', to('a', { idle_timeout: '0.2s' })),
  prefixed('/timeout/stream', to('a', { max_stream_duration: { max_stream_duration: '0.2s' } })),
  prefixed('/cors', {
    ...to('a'),
    typed_per_filter_config: {
      'envoy.filters.http.cors': {
        '@type': type('http.cors.v3.CorsPolicy'),
        allow_origin_string_match: [
          { exact: 'http://good.test' },
          { safe_regex: regex('https://.*\\.good\\.test') },
        ],
        allow_methods: 'GET, PUT',
        allow_headers: 'x-one, x-two',
        expose_headers: 'x-seen',
        max_age: '600',
        allow_credentials: true,
      },
    },
  }),
  prefixed('/fault/abort', {
    ...to('a'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': {
        '@type': type('http.fault.v3.HTTPFault'),
        abort: { http_status: 429, percentage: { numerator: 100 } },
      },
    },
  }),
  prefixed('/fault/grpc', {
    ...to('a'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': {
        '@type': type('http.fault.v3.HTTPFault'),
        abort: { grpc_status: 14, percentage: { numerator: 100 } },
      },
    },
  }),
  prefixed('/fault/some', {
    ...to('a'),
    typed_per_filter_config: {
      'envoy.filters.http.fault': {
        '@type': type('http.fault.v3.HTTPFault'),
        headers: [{ name: 'x-fault', string_match: { exact: 'yes' } }],
        delay: { fixed_delay: '0.05s', percentage: { numerator: 100 } },
        abort: { http_status: 503, percentage: { numerator: 100 } },
      },
    },
  }),
];

const catchAll = prefixed('/', to('a'));

function virtualHosts(): readonly object[] {
  const only = (name: string, domains: readonly string[], more: object = {}): object => ({
    name,
    domains,
    routes: [named(`vhost.${name}`, { prefix: '/' }, to('b'))],
    ...more,
  });
  return [
    only('exact', ['exact.test', 'exact.test:8080', '[::1]:8080']),
    only('wild', ['*.wild.test']),
    only('longer', ['*.long.wild.test']),
    only('dash', ['*-dash.wild.test']),
    only('tail', ['tail.*']),
    only('tls', ['tls.test'], { require_tls: 'ALL' }),
    only('narrow', ['narrow.test'], { routes: [named('narrow', { path: '/only' }, to('b'))] }),
    only('counted', ['counted.test'], {
      routes: [prefixed('/', retry('5xx'))],
      include_request_attempt_count: true,
      include_attempt_count_in_response: true,
    }),
    only('mutated', ['mutated.test'], {
      request_headers_to_add: [append('x-level', 'vhost', APPEND), append('x-last', 'vhost', OVERWRITE)],
      request_headers_to_remove: ['x-drop'],
      response_headers_to_add: [append('x-level', 'vhost', APPEND), append('x-last', 'vhost', OVERWRITE)],
      routes: [
        named(
          'mutated',
          { prefix: '/' },
          {
            ...to('a'),
            request_headers_to_add: [
              append('x-level', 'route', APPEND),
              append('x-last', 'route', OVERWRITE),
            ],
            response_headers_to_add: [
              append('x-level', 'route', APPEND),
              append('x-last', 'route', OVERWRITE),
            ],
          },
        ),
      ],
    }),
    { name: 'all', domains: ['*'], routes: [...matchRoutes, ...actionRoutes, catchAll] },
  ];
}

/** What both proxies are asked to log of every request: the route and cluster chosen, and why it ended. */
const logFormat =
  '%REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %ROUTE_NAME% %UPSTREAM_CLUSTER_RAW% ' +
  '%PROTOCOL% %UPSTREAM_REQUEST_ATTEMPT_COUNT%\n';

function listener(name: ListenerName, port: number, accessLog: string): object {
  const filter = (label: string, typed: string, config: object = {}): object => ({
    name: `envoy.filters.http.${label}`,
    typed_config: { '@type': type(`http.${typed}`), ...config },
  });
  const rules = policies[name];
  return {
    name,
    address: { socket_address: { address: '127.0.0.1', port_value: port } },
    filter_chains: [
      {
        filters: [
          {
            name: 'envoy.filters.network.http_connection_manager',
            typed_config: {
              '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
              stat_prefix: name,
              server_name: 'under-test',
              delayed_close_timeout: '0.05s',
              upgrade_configs: [{ upgrade_type: 'websocket' }],
              ...managers[name],
              access_log: [
                {
                  name: 'envoy.access_loggers.file',
                  typed_config: {
                    '@type': 'type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog',
                    path: accessLog,
                    log_format: { text_format_source: { inline_string: logFormat } },
                  },
                },
              ],
              route_config: {
                name: 'routes',
                request_headers_to_add: [append('x-last', 'table', OVERWRITE)],
                response_headers_to_remove: ['x-table-drop'],
                validate_clusters: false,
                virtual_hosts: virtualHosts(),
              },
              http_filters: [
                ...(rules === undefined ? [] : [filter('rbac', 'rbac.v3.RBAC', { rules })]),
                filter('fault', 'fault.v3.HTTPFault'),
                filter('cors', 'cors.v3.Cors'),
                filter('router', 'router.v3.Router'),
              ],
            },
          },
        ],
      },
    ],
  };
}

function cluster(name: string, port: number | undefined, more: object = {}): object {
  const endpoint = (port_value: number): object => ({
    endpoint: {
      hostname: `${name}.upstream.test`,
      address: { socket_address: { address: '127.0.0.1', port_value } },
    },
  });
  return {
    name,
    type: 'STATIC',
    connect_timeout: '1s',
    // Retries of several cases go on at a time.
    circuit_breakers: { thresholds: [{ max_retries: 1_000 }] },
    load_assignment: {
      cluster_name: name,
      endpoints: port === undefined ? [] : [{ lb_endpoints: [endpoint(port)] }],
    },
    ...more,
  };
}

function httpOptions(options: object): object {
  const name = 'envoy.extensions.upstreams.http.v3.HttpProtocolOptions';
  return { [name]: { '@type': `type.googleapis.com/${name}`, ...options } };
}

export function bootstrap(o: {
  readonly admin: number;
  readonly listen: Readonly<Record<ListenerName, number>>;
  readonly upstreams: UpstreamPorts;
  readonly accessLog: string;
}): object {
  const { a, b, h2, dead } = o.upstreams;
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: o.admin } } },
    static_resources: {
      listeners: listenerNames.map((name) => listener(name, o.listen[name], o.accessLog)),
      clusters: [
        cluster('a', a),
        cluster('b', b),
        cluster('named', a),
        // For upstreams that close their connection: the next request doesn't find out by a reset.
        cluster('once', a, {
          typed_extension_protocol_options: httpOptions({
            common_http_protocol_options: { max_requests_per_connection: 1 },
            explicit_http_config: { http_protocol_options: {} },
          }),
        }),
        cluster('h2', h2, {
          typed_extension_protocol_options: httpOptions({
            explicit_http_config: { http2_protocol_options: {} },
          }),
        }),
        cluster('dead', dead),
        cluster('empty', undefined),
      ],
    },
  };
}
