import { google, envoy } from '@weft/api/envoy';
import type { StreamInfo } from '../../engine/types.ts';
import {
  at,
  compileCidr,
  compileHeaderMatcher,
  compileMetadataMatcher,
  compilePathMatcher,
  compileStringMatcher,
  compileUriTemplate,
  invalid,
  pathOf,
} from '../../matching/index.ts';

/** A condition on one request or connection. Fields of HTTP are absent on TCP: their conditions are false there. */
export type StreamPredicate = (info: StreamInfo) => boolean;

type Permission = envoy.config.rbac.v3.Permission.$Properties;

const URI_TEMPLATE = 'envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig';

/** What is being done: method, path, headers, destination. */
export function compilePermission(permission: Permission): StreamPredicate {
  switch (permission.rule) {
    case 'any':
      return () => permission.any === true;
    case 'andRules':
      return every(compileAll('and_rules.rules', permission.andRules?.rules));
    case 'orRules':
      return some(compileAll('or_rules.rules', permission.orRules?.rules));
    case 'notRule': {
      const inner = at('not_rule', () => compilePermission(permission.notRule ?? {}));
      return (info) => !inner(info);
    }
    case 'header':
      return headerPredicate(permission.header ?? {});
    case 'urlPath':
      return urlPathPredicate(permission.urlPath ?? {});
    case 'uriTemplate':
      return at('uri_template', () => uriTemplatePredicate(permission.uriTemplate ?? {}));
    case 'destinationIp': {
      const matches = at('destination_ip', () => compileCidr(permission.destinationIp ?? {}));
      return ({ connection }) => connection.localAddress.kind === 'ip' && matches(connection.localAddress.ip);
    }
    case 'destinationPort': {
      const { destinationPort } = permission;
      return ({ connection }) =>
        connection.localAddress.kind === 'ip' && connection.localAddress.port === destinationPort;
    }
    case 'destinationPortRange': {
      const start = permission.destinationPortRange?.start ?? 0;
      const end = permission.destinationPortRange?.end ?? 0;
      return ({ connection: { localAddress: a } }) => a.kind === 'ip' && a.port >= start && a.port < end;
    }
    case 'requestedServerName': {
      const matches = at('requested_server_name', () =>
        compileStringMatcher(permission.requestedServerName ?? {}),
      );
      return ({ connection }) => matches(connection.requestedServerName ?? '');
    }
    case 'metadata':
      return metadataPredicate(permission.metadata ?? {});
    default:
      return invalid(`rule "${permission.rule ?? ''}" is not supported`);
  }
}

export function every(predicates: readonly StreamPredicate[]): StreamPredicate {
  return (info) => predicates.every((matches) => matches(info));
}
export function some(predicates: readonly StreamPredicate[]): StreamPredicate {
  return (info) => predicates.some((matches) => matches(info));
}

export function headerPredicate(config: envoy.config.route.v3.HeaderMatcher.$Properties): StreamPredicate {
  const matches = at('header', () => compileHeaderMatcher(config));
  return ({ requestHeaders }) => requestHeaders !== undefined && matches(requestHeaders);
}

export function urlPathPredicate(config: envoy.type.matcher.v3.PathMatcher.$Properties): StreamPredicate {
  const matches = at('url_path', () => compilePathMatcher(config));
  return ({ requestHeaders }) => requestHeaders?.path !== undefined && matches(requestHeaders.path);
}

export function metadataPredicate(
  config: envoy.type.matcher.v3.MetadataMatcher.$Properties,
): StreamPredicate {
  const matches = at('metadata', () => compileMetadataMatcher(config));
  return ({ dynamicMetadata }) => matches((namespace) => dynamicMetadata.get(namespace));
}

function uriTemplatePredicate(
  config: envoy.config.core.v3.TypedExtensionConfig.$Properties,
): StreamPredicate {
  const any = google.protobuf.Any.create(config.typedConfig ?? {});
  if (!any.type_url.endsWith(`/${URI_TEMPLATE}`))
    invalid(`"${any.type_url}" is not supported`, 'typed_config');
  const { pathTemplate } = envoy.extensions.path.match.uri_template.v3.UriTemplateMatchConfig.decode(
    any.value,
  );
  const template = at('typed_config.path_template', () => compileUriTemplate(pathTemplate));
  return ({ requestHeaders }) =>
    requestHeaders?.path !== undefined && template.match(pathOf(requestHeaders.path)) !== undefined;
}

function compileAll(
  path: string,
  rules: readonly Permission[] | null | undefined,
): readonly StreamPredicate[] {
  if (rules === null || rules === undefined || rules.length === 0) invalid('must not be empty', path);
  return rules.map((rule, i) => at(`${path}[${i}]`, () => compilePermission(rule)));
}
