import { envoy } from '@weft/api/envoy';
import type { UsableProvider } from '../ambient/authorization-providers.ts';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import type { HttpCheck } from '../ambient/extension-providers.ts';
import { type AuthorizationPolicySpec, type PolicyObject, isDryRun } from '../sources/policy-objects.ts';
import { duration, extension } from './any.ts';
import { serviceCluster } from './clusters.ts';
import { outboundCluster } from './names.ts';
import { CUSTOM_MATCH, HTTP_RBAC, customKeyPrefix, customShadow } from './rbac.ts';

type AuthorizationPolicy = PolicyObject<AuthorizationPolicySpec>;
type Cluster = envoy.config.cluster.v3.Cluster.$Properties;
type HttpFilter = envoy.extensions.filters.network.http_connection_manager.v3.HttpFilter.$Properties;
type HttpService = envoy.extensions.filters.http.ext_authz.v3.HttpService.$Properties;
type StringMatcher = envoy.type.matcher.v3.StringMatcher.$Properties;

const { ExtAuthz } = envoy.extensions.filters.http.ext_authz.v3;

/** Of a name; undefined where there is none, or where it can't be asked. */
export type FindProvider = (name: string) => UsableProvider | undefined;

/** CUSTOM policies by the provider that decides for them; the `rest` is for RBAC, which denies what nobody decides. */
export function byProvider(
  policies: readonly AuthorizationPolicy[],
  find: FindProvider,
): {
  readonly asked: readonly {
    readonly by: UsableProvider;
    readonly policies: readonly AuthorizationPolicy[];
  }[];
  readonly rest: readonly AuthorizationPolicy[];
} {
  const asked = new Map<string, { readonly by: UsableProvider; readonly policies: AuthorizationPolicy[] }>();
  const rest: AuthorizationPolicy[] = [];
  for (const policy of policies) {
    const { action, provider: { name = '' } = {} } = policy.spec;
    const by = action === 'CUSTOM' && !isDryRun(policy) ? find(name) : undefined;
    if (by === undefined) {
      rest.push(policy);
      continue;
    }
    const group = asked.get(name) ?? { by, policies: [] };
    asked.set(name, group);
    group.policies.push(policy);
  }
  return { asked: [...asked.values()], rest };
}

/** One pair of filters for each provider: the first sees whether a policy matches, the second asks if so. */
export function externalAuthorization(
  by: UsableProvider,
  policies: readonly AuthorizationPolicy[],
): HttpFilter[] {
  const { provider, service } = by;
  const { protocol, body, statusOnError, failOpen } = provider;
  const clusterName = outboundCluster(provider.port, service.hostname);
  const timeout = duration(provider.timeoutMs);
  return [
    customShadow(policies),
    extension('envoy.filters.http.ext_authz', ExtAuthz, {
      transportApiVersion: envoy.config.core.v3.ApiVersion.V3,
      failureModeAllow: failOpen,
      ...(statusOnError === undefined ? {} : { statusOnError: { code: statusOnError } }),
      ...(body === undefined
        ? {}
        : {
            withRequestBody: {
              maxRequestBytes: body.maxBytes,
              allowPartialMessage: body.allowPartial,
              packAsBytes: body.asBytes,
            },
          }),
      filterEnabledMetadata: {
        filter: HTTP_RBAC,
        path: [{ key: CUSTOM_MATCH }],
        value: { stringMatch: { prefix: customKeyPrefix(provider.name) } },
      },
      ...(protocol.kind === 'grpc'
        ? { grpcService: { envoyGrpc: { clusterName, authority: service.hostname }, timeout } }
        : {
            ...(protocol.shownHeaders.length === 0
              ? {}
              : { allowedHeaders: { patterns: protocol.shownHeaders.map(headerName) } }),
            httpService: {
              serverUri: { uri: `http://${service.hostname}`, cluster: clusterName, timeout },
              ...httpService(protocol),
            },
          }),
    }),
  ];
}

function httpService(check: HttpCheck): HttpService {
  const patterns = (names: readonly string[]) =>
    names.length === 0 ? null : { patterns: names.map(headerName) };
  return {
    pathPrefix: check.pathPrefix,
    ...(check.addedHeaders.length === 0
      ? {}
      : {
          authorizationRequest: {
            headersToAdd: check.addedHeaders.map(([key, value]) => ({ key, value })),
          },
        }),
    authorizationResponse: {
      allowedUpstreamHeaders: patterns(check.toUpstream),
      allowedClientHeaders: patterns(check.toClientOnDeny),
      allowedClientHeadersOnSuccess: patterns(check.toClientOnAllow),
    },
  };
}

function headerName(text: string): StringMatcher {
  const ignoreCase = true;
  if (text.startsWith('*')) return { suffix: text.slice(1), ignoreCase };
  return text.endsWith('*') ? { prefix: text.slice(0, -1), ignoreCase } : { exact: text, ignoreCase };
}

/** Where the providers of the policies are reached. */
export function providerClusters(
  policies: readonly AuthorizationPolicy[],
  find: FindProvider,
  settings: WaypointSettings,
): Cluster[] {
  return byProvider(policies, find).asked.map(({ by: { provider, service } }) =>
    serviceCluster({
      name: outboundCluster(provider.port, service.hostname),
      protocol: provider.protocol.kind === 'grpc' ? 'http2' : 'http1',
      endpoints: { kind: 'discovery' },
      service,
      settings,
    }),
  );
}
