import { envoy } from '@weft/api/envoy';
import type { CompileContext, HeaderMap, Metadata, MetadataStruct, StreamInfo } from '../../engine/types.ts';
import { durationMs, fraction, structToPlain } from '../../filters/message.ts';
import {
  at,
  compileMetadataMatcher,
  compileRequestMatch,
  compileUriTemplate,
  invalid,
} from '../../matching/index.ts';
import { compileFilterConfigs } from './filter-configs.ts';
import { compileHashPolicy } from './hash-policy.ts';
import { compileHeaderMutations, noMutations } from './header-mutations.ts';
import { type PathRewrite, prefixRewrite, regexRewrite } from './path-rewrite.ts';
import { compileRetryPolicy, type RetryPolicy } from './retry-policy.ts';
import type {
  ChosenCluster,
  ForwardAction,
  HostRewrite,
  MirrorPolicy,
  RedirectAction,
  Route,
  RouteActionKind,
  UpgradePolicy,
  VirtualHostScope,
} from './route.ts';

type RouteConfig = envoy.config.route.v3.Route.$Properties;
type RouteActionConfig = envoy.config.route.v3.RouteAction.$Properties;
type RouteMatchConfig = envoy.config.route.v3.RouteMatch.$Properties;

const DEFAULT_TIMEOUT_MS = 15_000;
const LB_NAMESPACE = 'envoy.lb';

/** What the table says for routes that say nothing. */
export interface RouteDefaults {
  readonly virtualHost: VirtualHostScope;
  readonly retry: RetryPolicy | undefined;
  readonly mirrors: readonly MirrorPolicy[];
  readonly maxDirectResponseBytes: number;
}

export function compileRoute(config: RouteConfig, defaults: RouteDefaults, context: CompileContext): Route {
  const match = config.match ?? {};
  return {
    name: config.name ?? '',
    virtualHost: defaults.virtualHost,
    matches: at('match', () => compileMatch(match, context)),
    action: compileAction(config, match, defaults, context),
    metadata: compileMetadata(config.metadata),
    decoratorOperation: config.decorator?.operation || undefined,
    request: compileHeaderMutations(config.requestHeadersToAdd, config.requestHeadersToRemove, 'request'),
    response: compileHeaderMutations(config.responseHeadersToAdd, config.responseHeadersToRemove, 'response'),
    filterConfigs: compileFilterConfigs(config.typedPerFilterConfig, context),
    bufferLimitBytes: config.perRequestBufferLimitBytes?.value ?? undefined,
  };
}

export function compileMetadata(
  metadata: envoy.config.core.v3.Metadata.$Properties | null | undefined,
): Metadata {
  const compiled = new Map<string, MetadataStruct>();
  for (const [namespace, struct] of Object.entries(metadata?.filterMetadata ?? {})) {
    compiled.set(namespace, structToPlain(struct));
  }
  return compiled;
}

function compileMatch(
  match: RouteMatchConfig,
  context: CompileContext,
): (headers: HeaderMap, info: StreamInfo) => boolean {
  const request = compileRequestMatch(match);
  const conditions: ((info: StreamInfo) => boolean)[] = [];
  for (const [i, matcher] of (match.dynamicMetadata ?? []).entries()) {
    const matches = at(`dynamic_metadata[${i}]`, () => compileMetadataMatcher(matcher));
    conditions.push((info) => matches((namespace) => info.dynamicMetadata.get(namespace)));
  }
  const { tlsContext, runtimeFraction } = match;
  if (tlsContext?.presented) {
    const wanted = tlsContext.presented.value === true;
    conditions.push(({ connection }) => (connection.tls?.peerCertificatePem !== undefined) === wanted);
  }
  if (tlsContext?.validated) {
    const wanted = tlsContext.validated.value === true;
    conditions.push(({ connection }) => (connection.tls?.peerValidated === true) === wanted);
  }
  if (runtimeFraction) {
    const share = fraction(runtimeFraction.defaultValue);
    conditions.push(() => context.engine.random() < share);
  }
  if (conditions.length === 0) return request;
  return (headers, info) => request(headers) && conditions.every((holds) => holds(info));
}

function compileAction(
  config: RouteConfig,
  match: RouteMatchConfig,
  defaults: RouteDefaults,
  context: CompileContext,
): RouteActionKind {
  switch (config.action) {
    case 'route':
      return {
        kind: 'forward',
        forward: at('route', () => compileForward(config.route ?? {}, match, defaults, context)),
      };
    case 'redirect':
      return {
        kind: 'redirect',
        redirect: at('redirect', () => compileRedirect(config.redirect ?? {}, match)),
      };
    case 'directResponse': {
      const { status = 200, body } = config.directResponse ?? {};
      const text =
        body?.inlineString ?? (body?.inlineBytes ? Buffer.from(body.inlineBytes).toString('latin1') : '');
      if (body?.filename) invalid('only inline bodies are supported', 'direct_response.body');
      if (Buffer.byteLength(text) > defaults.maxDirectResponseBytes) {
        invalid(`exceeds ${defaults.maxDirectResponseBytes} bytes`, 'direct_response.body');
      }
      return { kind: 'direct-response', status: status ?? 200, body: text };
    }
    case 'nonForwardingAction':
    case 'filterAction':
      return { kind: 'none' };
    default:
      return invalid('a route needs an action');
  }
}

function compileForward(
  config: RouteActionConfig,
  match: RouteMatchConfig,
  defaults: RouteDefaults,
  context: CompileContext,
): ForwardAction {
  const { maxStreamDuration } = config;
  const mirrors = (config.requestMirrorPolicies ?? []).map((policy, i) =>
    at(`request_mirror_policies[${i}]`, () => compileMirror(policy)),
  );
  const grpcHeaderMax = maxStreamDuration?.grpcTimeoutHeaderMax;
  return {
    cluster: compileCluster(config, context),
    clusterNotFoundStatus:
      config.clusterNotFoundResponseCode === 1 ? 404 : config.clusterNotFoundResponseCode === 2 ? 500 : 503,
    rewritePath: compilePathRewrite(config, match),
    rewriteHost: compileHostRewrite(config),
    appendForwardedHost: config.appendXForwardedHost === true,
    timeoutMs: at('timeout', () => durationMs(config.timeout)) ?? DEFAULT_TIMEOUT_MS,
    idleTimeoutMs: durationMs(config.idleTimeout),
    replacesTimeout: Boolean(maxStreamDuration),
    maxStreamDurationMs: durationMs(maxStreamDuration?.maxStreamDuration),
    grpcTimeoutHeaderMaxMs: durationMs(grpcHeaderMax),
    maxGrpcTimeoutMs: durationMs(config.maxGrpcTimeout),
    retry: config.retryPolicy
      ? at('retry_policy', () => compileRetryPolicy(config.retryPolicy ?? {}))
      : defaults.retry,
    mirrors: mirrors.length > 0 ? mirrors : defaults.mirrors,
    hashPolicies: (config.hashPolicy ?? []).flatMap((policy, i) =>
      at(`hash_policy[${i}]`, () => compileHashPolicy(policy) ?? []),
    ),
    priority: config.priority === 1 ? 'high' : 'default',
    upgrades: compileUpgrades(config),
  };
}

function compileCluster(
  config: RouteActionConfig,
  context: CompileContext,
): (headers: HeaderMap, random: number) => ChosenCluster {
  const metadataMatch = lbMetadata(config.metadataMatch);
  const plain = (name: string | undefined): ChosenCluster => ({
    name,
    metadataMatch,
    request: noMutations,
    response: noMutations,
    filterConfigs: new Map(),
    hostRewrite: undefined,
  });
  switch (config.clusterSpecifier) {
    case 'cluster': {
      const name = config.cluster ?? '';
      if (name === '') invalid('must not be empty', 'cluster');
      const chosen = plain(name);
      return () => chosen;
    }
    case 'clusterHeader': {
      const header = config.clusterHeader ?? '';
      return (headers) => plain(headers.get(header));
    }
    case 'weightedClusters':
      return compileWeighted(config.weightedClusters ?? {}, metadataMatch, context);
    default:
      return invalid('a cluster is required');
  }
}

function compileWeighted(
  config: envoy.config.route.v3.WeightedCluster.$Properties,
  routeMetadata: MetadataStruct | undefined,
  context: CompileContext,
): (headers: HeaderMap, random: number) => ChosenCluster {
  const choices = (config.clusters ?? []).map((entry, i) =>
    at(`weighted_clusters.clusters[${i}]`, () => ({
      weight: entry.weight?.value ?? 0,
      header: entry.clusterHeader ?? '',
      chosen: {
        name: entry.name || undefined,
        metadataMatch: mergeMatch(routeMetadata, lbMetadata(entry.metadataMatch)),
        request: compileHeaderMutations(entry.requestHeadersToAdd, entry.requestHeadersToRemove, 'request'),
        response: compileHeaderMutations(
          entry.responseHeadersToAdd,
          entry.responseHeadersToRemove,
          'response',
        ),
        filterConfigs: compileFilterConfigs(entry.typedPerFilterConfig, context),
        hostRewrite: entry.hostRewriteLiteral || undefined,
      } satisfies ChosenCluster,
    })),
  );
  const total = choices.reduce((sum, { weight }) => sum + weight, 0);
  const first = choices[0];
  if (first === undefined || total === 0)
    return invalid('the weights must not all be zero', 'weighted_clusters');
  return (headers, random) => {
    let at = random * total;
    let picked = first;
    for (const choice of choices) {
      if (choice.weight === 0) continue;
      picked = choice;
      at -= choice.weight;
      if (at < 0) break;
    }
    return picked.header === '' ? picked.chosen : { ...picked.chosen, name: headers.get(picked.header) };
  };
}

function compilePathRewrite(config: RouteActionConfig, match: RouteMatchConfig): PathRewrite | undefined {
  const { regexRewrite: rule, pathRewritePolicy } = config;
  const given = [config.prefixRewrite ? 1 : 0, rule ? 1 : 0, pathRewritePolicy ? 1 : 0].reduce(
    (a, b) => a + b,
    0,
  );
  if (given > 1) invalid('only one of prefix_rewrite, regex_rewrite and path_rewrite_policy may be set');
  if (config.prefixRewrite)
    return prefixRewrite(matchedPart(match), config.prefixRewrite, caseSensitive(match));
  if (rule) return at('regex_rewrite', () => regexRewrite(rule));
  if (pathRewritePolicy) return compileTemplateRewrite(pathRewritePolicy, match);
  return undefined;
}

function compileTemplateRewrite(
  policy: envoy.config.core.v3.TypedExtensionConfig.$Properties,
  match: RouteMatchConfig,
): PathRewrite {
  const { rewrite, match: matching } = envoy.extensions.path;
  const { pathTemplateRewrite } = rewrite.uri_template.v3.UriTemplateRewriteConfig.decode(
    policy.typedConfig?.value ?? new Uint8Array(),
  );
  const { pathTemplate } = matching.uri_template.v3.UriTemplateMatchConfig.decode(
    match.pathMatchPolicy?.typedConfig?.value ?? new Uint8Array(),
  );
  const template = compileUriTemplate(pathTemplate);
  return (path) => {
    const variables = template.match(path);
    if (variables === undefined) return path;
    return pathTemplateRewrite.replace(/\{(\w+)\}/g, (_, name: string) => variables.get(name) ?? '');
  };
}

/** The text that `prefix_rewrite` replaces: the whole path for an exact match. */
function matchedPart(match: RouteMatchConfig): string {
  return (
    match.prefix ??
    match.path ??
    match.pathSeparatedPrefix ??
    invalid('needs a prefix or path match', 'prefix_rewrite')
  );
}

function caseSensitive(match: RouteMatchConfig): boolean {
  return match.caseSensitive?.value !== false;
}

function compileHostRewrite(config: RouteActionConfig): HostRewrite | undefined {
  switch (config.hostRewriteSpecifier) {
    case 'hostRewriteLiteral':
      return config.hostRewriteLiteral ? { kind: 'literal', host: config.hostRewriteLiteral } : undefined;
    case 'autoHostRewrite':
      return config.autoHostRewrite?.value === true ? { kind: 'auto' } : undefined;
    case 'hostRewriteHeader':
      return { kind: 'header', name: config.hostRewriteHeader ?? '' };
    case 'hostRewritePathRegex':
      return {
        kind: 'path-regex',
        rewrite: at('host_rewrite_path_regex', () => regexRewrite(config.hostRewritePathRegex ?? {})),
      };
    default:
      return undefined;
  }
}

function compileUpgrades(config: RouteActionConfig): ReadonlyMap<string, UpgradePolicy> {
  const upgrades = new Map<string, UpgradePolicy>();
  for (const upgrade of config.upgradeConfigs ?? []) {
    upgrades.set((upgrade.upgradeType ?? '').toUpperCase(), {
      enabled: upgrade.enabled?.value !== false,
      terminate: upgrade.connectConfig !== undefined && upgrade.connectConfig !== null,
    });
  }
  return upgrades;
}

export function compileMirror(
  config: envoy.config.route.v3.RouteAction.RequestMirrorPolicy.$Properties,
): MirrorPolicy {
  const { cluster, clusterHeader, runtimeFraction } = config;
  return {
    cluster: clusterHeader ? (headers) => headers.get(clusterHeader) : () => cluster || undefined,
    fraction: runtimeFraction ? fraction(runtimeFraction.defaultValue) : 1,
    appendShadowSuffix: config.disableShadowHostSuffixAppend !== true,
  };
}

const redirectStatus: readonly number[] = [301, 302, 303, 307, 308];

function compileRedirect(
  config: envoy.config.route.v3.RedirectAction.$Properties,
  match: RouteMatchConfig,
): RedirectAction {
  let rewritePath: PathRewrite | undefined;
  if (config.prefixRewrite)
    rewritePath = prefixRewrite(matchedPart(match), config.prefixRewrite, caseSensitive(match));
  else if (config.regexRewrite) rewritePath = regexRewrite(config.regexRewrite);
  return {
    status: redirectStatus[config.responseCode ?? 0] ?? 301,
    scheme: config.httpsRedirect === true ? 'https' : config.schemeRedirect || undefined,
    host: config.hostRedirect || undefined,
    port: config.portRedirect || undefined,
    path: config.pathRedirect || undefined,
    rewritePath,
    stripQuery: config.stripQuery === true,
  };
}

function lbMetadata(
  metadata: envoy.config.core.v3.Metadata.$Properties | null | undefined,
): MetadataStruct | undefined {
  return compileMetadata(metadata).get(LB_NAMESPACE);
}

function mergeMatch(
  a: MetadataStruct | undefined,
  b: MetadataStruct | undefined,
): MetadataStruct | undefined {
  return a === undefined ? b : { ...a, ...b };
}
