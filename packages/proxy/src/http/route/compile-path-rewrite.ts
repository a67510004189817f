import { envoy } from '@weft/api/envoy';
import { at, compileUriTemplate, invalid } from '../../matching/index.ts';
import { type PathRewrite, prefixRewrite, regexRewrite } from './path-rewrite.ts';

type RouteMatchConfig = envoy.config.route.v3.RouteMatch.$Properties;

/** The part of RouteAction and RedirectAction that changes the path. */
export interface PathRewriteConfig {
  readonly prefixRewrite?: string | null | undefined;
  readonly regexRewrite?: envoy.type.matcher.v3.RegexMatchAndSubstitute.$Properties | null | undefined;
  readonly pathRewritePolicy?: envoy.config.core.v3.TypedExtensionConfig.$Properties | null | undefined;
}

/** @throws InvalidValue when several are given. */
export function compilePathRewrite(
  config: PathRewriteConfig,
  match: RouteMatchConfig,
): PathRewrite | undefined {
  const { regexRewrite: rule, pathRewritePolicy } = config;
  const given = [config.prefixRewrite, rule, pathRewritePolicy].filter(Boolean).length;
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
