import { envoy } from '@weft/api/envoy';
import type { Engine, HeaderMap, StreamInfo } from '../../engine/types.ts';
import { at, compileStringMatchers, invalid, type StringPredicate } from '../../matching/index.ts';
import { fetchThroughCluster } from '../cluster-fetch.ts';
import { durationMs } from '../message.ts';
import { type CheckOptions, encodeCheckRequest } from './check-request.ts';
import { type AnswerHeaders, ERROR, type Verdict, verdictOfGrpc, verdictOfHttp } from './verdict.ts';

type Config = envoy.extensions.filters.http.ext_authz.v3.ExtAuthz;
type HttpService = envoy.extensions.filters.http.ext_authz.v3.HttpService.$Properties;
type GrpcService = envoy.config.core.v3.GrpcService.$Properties;
type Matchers = envoy.type.matcher.v3.ListStringMatcher.$Properties | null | undefined;

export interface Check {
  readonly headers: HeaderMap;
  readonly info: StreamInfo;
  /** Undefined: the service isn't shown any. */
  readonly body: { readonly bytes: Buffer; readonly complete: boolean } | undefined;
  readonly contextExtensions: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Asks the authorization service. Rejects when it doesn't answer. */
export type AuthorizationService = (check: Check) => Promise<Verdict>;

const DEFAULT_TIMEOUT_MS = 200;
const CHECK_PATH = '/envoy.service.auth.v3.Authorization/Check';
const PARTIAL_BODY = 'x-envoy-auth-partial-body';
/** gRPC: one byte that says compressed or not, and the length. */
const PREFIX_BYTES = 5;

/** @throws InvalidValue */
export function compileService(config: Config, engine: Engine): AuthorizationService {
  const { grpcService, httpService } = config;
  if (grpcService) return at('grpc_service', () => grpcClient(grpcService, config, engine));
  if (httpService) return at('http_service', () => httpClient(httpService, config, engine));
  return invalid('a service is required', 'services');
}

function grpcClient(service: GrpcService, config: Config, engine: Engine): AuthorizationService {
  const { clusterName: cluster = '', authority } = service.envoyGrpc ?? {};
  if (!cluster) return invalid('is required', 'envoy_grpc.cluster_name');
  const timeoutMs = durationMs(service.timeout) ?? DEFAULT_TIMEOUT_MS;
  const initial = fieldsOf(service.initialMetadata ?? []);
  const options: CheckOptions = {
    sees: visibility(config, () => true),
    includePeerCertificate: config.includePeerCertificate,
    includeTlsSession: config.includeTlsSession,
    metadataNamespaces: config.metadataContextNamespaces,
    packAsBytes: config.withRequestBody?.packAsBytes === true,
  };
  return async ({ headers, body, info, contextExtensions, signal }) => {
    const shown = headers.clone();
    if (body !== undefined) shown.set(PARTIAL_BODY, String(!body.complete));
    const message = encodeCheckRequest(shown, body?.bytes, info, contextExtensions, options);
    const prefix = Buffer.alloc(PREFIX_BYTES);
    prefix.writeUInt32BE(message.length, 1);
    const answer = await fetchThroughCluster(engine, {
      cluster,
      method: 'POST',
      authority: authority || cluster,
      path: CHECK_PATH,
      headers: [
        ['content-type', 'application/grpc'],
        ['te', 'trailers'],
        ['grpc-timeout', `${timeoutMs}m`],
        ...initial,
      ],
      body: Buffer.concat([prefix, message]),
      timeoutMs,
      signal,
    });
    const status = answer.trailers?.get('grpc-status') ?? answer.headers.get('grpc-status');
    const { length } = answer.body;
    if (answer.status !== 200 || status !== '0' || length < PREFIX_BYTES || answer.body[0] !== 0)
      return ERROR;
    if (answer.body.readUInt32BE(1) !== length - PREFIX_BYTES) return ERROR;
    return verdictOfGrpc(answer.body.subarray(PREFIX_BYTES));
  };
}

/** Shown to an HTTP service whatever the list says; method and target are those of the request. */
const ALWAYS_SHOWN: ReadonlySet<string> = new Set(['authorization']);

function httpClient(service: HttpService, config: Config, engine: Engine): AuthorizationService {
  const { serverUri, pathPrefix = '', authorizationRequest, authorizationResponse } = service;
  const { cluster = '' } = serverUri ?? {};
  if (!cluster) return invalid('is required', 'server_uri.cluster');
  if (pathPrefix && !pathPrefix.startsWith('/')) return invalid('must begin with a slash', 'path_prefix');
  const timeoutMs = durationMs(serverUri?.timeout) ?? DEFAULT_TIMEOUT_MS;
  const listed = matcher(authorizationRequest?.allowedHeaders, 'authorization_request.allowed_headers');
  const sees = visibility(config, listed ?? (() => false));
  const added = fieldsOf(authorizationRequest?.headersToAdd ?? []);
  const rules = answerHeaders(authorizationResponse ?? {});
  return async ({ headers, body, signal }) => {
    const shown = [...headers].filter(
      ([name]) => (ALWAYS_SHOWN.has(name) || sees(name)) && name !== 'content-length',
    );
    const answer = await fetchThroughCluster(engine, {
      cluster,
      method: headers.method ?? 'GET',
      authority: headers.authority ?? cluster,
      path: `${pathPrefix}${headers.path ?? '/'}`,
      headers: [
        ...shown.filter(([name]) => !added.some(([own]) => own === name)),
        ...added,
        ...(body === undefined ? [] : [[PARTIAL_BODY, String(!body.complete)] as const]),
      ],
      // Its length is told even where there is none.
      body: body?.bytes ?? Buffer.alloc(0),
      timeoutMs,
      signal,
    });
    return verdictOfHttp(answer, rules);
  };
}

function answerHeaders(
  response: envoy.extensions.filters.http.ext_authz.v3.AuthorizationResponse.$Properties,
): AnswerHeaders {
  const none: StringPredicate = () => false;
  const list = (matchers: Matchers, field: string): StringPredicate | undefined =>
    matcher(matchers, `authorization_response.${field}`);
  return {
    toUpstream: list(response.allowedUpstreamHeaders, 'allowed_upstream_headers') ?? none,
    appendToUpstream:
      list(response.allowedUpstreamHeadersToAppend, 'allowed_upstream_headers_to_append') ?? none,
    toClientWhenAllowed:
      list(response.allowedClientHeadersOnSuccess, 'allowed_client_headers_on_success') ?? none,
    toClientWhenDenied: list(response.allowedClientHeaders, 'allowed_client_headers'),
    toMetadata: list(response.dynamicMetadataFromHeaders, 'dynamic_metadata_from_headers') ?? none,
  };
}

/** What the filter's own lists leave of the headers. */
function visibility(config: Config, byDefault: StringPredicate): StringPredicate {
  const allowed = matcher(config.allowedHeaders, 'allowed_headers') ?? byDefault;
  const hidden = matcher(config.disallowedHeaders, 'disallowed_headers') ?? (() => false);
  return (name) => allowed(name) && !hidden(name);
}

/** Undefined: there is no list, or an empty one. */
function matcher(matchers: Matchers, field: string): StringPredicate | undefined {
  const patterns = matchers?.patterns ?? [];
  return patterns.length === 0 ? undefined : at(`${field}.patterns`, () => compileStringMatchers(patterns));
}

function fieldsOf(
  values: readonly envoy.config.core.v3.HeaderValue.$Properties[],
): readonly (readonly [string, string])[] {
  return values.map(({ key, value }) => [(key ?? '').toLowerCase(), value ?? ''] as const);
}
