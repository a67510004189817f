import { envoy } from '@weft/api/envoy';
import { Fields, list, record, text, wrong } from './config-fields.ts';

/** MeshConfig `extensionProviders` of kinds `envoyExtAuthzGrpc` and `envoyExtAuthzHttp`: whom to ask about requests. */
export interface AuthorizationProvider {
  readonly name: string;
  /** As written: `[namespace/]hostname`. */
  readonly service: string;
  readonly port: number;
  readonly timeoutMs: number;
  /** What can't be asked about goes through. */
  readonly failOpen: boolean;
  readonly statusOnError: number | undefined;
  readonly body: BodyInCheck | undefined;
  readonly protocol: { readonly kind: 'grpc' } | HttpCheck;
}

export interface BodyInCheck {
  readonly maxBytes: number;
  readonly allowPartial: boolean;
  readonly asBytes: boolean;
}

/** Lists of header names, each exact, `x*` or `*x`. */
export interface HttpCheck {
  readonly kind: 'http';
  readonly pathPrefix: string;
  readonly shownHeaders: readonly string[];
  readonly addedHeaders: readonly (readonly [string, string])[];
  readonly toUpstream: readonly string[];
  readonly toClientOnAllow: readonly string[];
  readonly toClientOnDeny: readonly string[];
}

const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/;
const HEADER_VALUE = /^[\t\x20-\x7e]+$/;
const DEFAULT_TIMEOUT_MS = 600_000;

/** By name. Providers of other kinds are for somebody else. @throws with the path of what is wrong */
export function parseAuthorizationProviders(value: unknown): ReadonlyMap<string, AuthorizationProvider> {
  const providers = new Map<string, AuthorizationProvider>();
  for (const [i, entry] of list(value ?? [], 'extensionProviders').entries()) {
    const path = `extensionProviders[${i}]`;
    const { name, envoyExtAuthzGrpc, envoyExtAuthzHttp } = record(entry, path);
    if (envoyExtAuthzGrpc === undefined && envoyExtAuthzHttp === undefined) continue;
    const given = text(name, `${path}.name`);
    providers.set(
      given,
      envoyExtAuthzGrpc === undefined
        ? provider(given, new Fields(envoyExtAuthzHttp, `${path}.envoyExtAuthzHttp`), httpCheck)
        : provider(given, new Fields(envoyExtAuthzGrpc, `${path}.envoyExtAuthzGrpc`), () => ({
            kind: 'grpc',
          })),
    );
  }
  return providers;
}

function provider(
  name: string,
  fields: Fields,
  protocol: (fields: Fields) => AuthorizationProvider['protocol'],
): AuthorizationProvider {
  const body = fields.value('includeRequestBodyInCheck');
  return {
    name,
    service: text(fields.value('service'), `${fields.path}.service`),
    port: fields.integer('port', 65_535),
    timeoutMs: fields.durationMs('timeout') ?? DEFAULT_TIMEOUT_MS,
    failOpen: fields.flag('failOpen'),
    statusOnError: status(fields.optionalText('statusOnError'), `${fields.path}.statusOnError`),
    body:
      body === undefined
        ? undefined
        : bodyInCheck(new Fields(body, `${fields.path}.includeRequestBodyInCheck`)),
    protocol: protocol(fields),
  };
}

function bodyInCheck(fields: Fields): BodyInCheck {
  return {
    maxBytes: fields.integer('maxRequestBytes', 0xffff_ffff),
    allowPartial: fields.flag('allowPartialMessage'),
    asBytes: fields.flag('packAsBytes'),
  };
}

function httpCheck(fields: Fields): HttpCheck {
  const pathPrefix = fields.optionalText('pathPrefix') ?? '';
  if (pathPrefix !== '' && !pathPrefix.startsWith('/')) {
    throw wrong(`${fields.path}.pathPrefix`, 'does not begin with a slash');
  }
  const added = record(fields.value('includeAdditionalHeadersInCheck') ?? {}, fields.path);
  return {
    kind: 'http',
    pathPrefix,
    shownHeaders: headers(fields, 'includeRequestHeadersInCheck'),
    addedHeaders: Object.entries(added).map(([name, value]) => {
      const path = `${fields.path}.includeAdditionalHeadersInCheck.${name}`;
      const given = text(value, path);
      if (!HEADER_NAME.test(name) || !HEADER_VALUE.test(given)) throw wrong(path, 'is not a header');
      return [name, given];
    }),
    toUpstream: headers(fields, 'headersToUpstreamOnAllow'),
    toClientOnAllow: headers(fields, 'headersToDownstreamOnAllow'),
    toClientOnDeny: headers(fields, 'headersToDownstreamOnDeny'),
  };
}

/** Proxies refuse a listener that names any other. */
function status(value: string | undefined, path: string): number | undefined {
  if (value === undefined) return undefined;
  const code = /^[45]\d\d$/.test(value) ? Number(value) : 0;
  if (code !== 0 && envoy.type.v3.StatusCode[code] !== undefined) return code;
  throw wrong(path, 'is no status of an error');
}

/** @throws where a name is no good */
function headers(fields: Fields, name: string): readonly string[] {
  const path = fields.at(name);
  const names = list(fields.value(name) ?? [], path).map((header) => text(header, path));
  // Every header would be shown or taken over, which nobody means.
  if (names.includes('*')) throw wrong(path, 'may not be "*"');
  return names;
}

/** The Service that a provider means by a full name within the cluster, as `namespace/name`. */
export function providerServiceKey(
  { service }: AuthorizationProvider,
  clusterDomain: string,
): string | undefined {
  const hostname = service.slice(service.indexOf('/') + 1);
  const suffix = `.svc.${clusterDomain}`;
  const [name, namespace, ...more] = hostname.slice(0, -suffix.length).split('.');
  if (!hostname.endsWith(suffix) || !name || !namespace || more.length > 0) return undefined;
  return `${namespace}/${name}`;
}
