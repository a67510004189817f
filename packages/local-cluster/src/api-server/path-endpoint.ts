import { createHash } from 'node:crypto';
import { openApiV3Document, openApiV3Index } from '../openapi/index.ts';
import { noSuchPath } from './api-error.ts';
import type { TokenSigner } from './auth/json-web-token.ts';
import {
  aggregatedDiscovery,
  apiGroup,
  apiGroupList,
  apiResourceList,
  customTypes,
  legacyApiVersions,
} from './discovery.ts';
import type { HttpExchange } from './http-exchange.ts';
import type { JsonObject } from './object.ts';
import type { ResourceCatalog } from './resource.ts';
import { negotiateDiscovery } from './rest/media-types.ts';

export const KUBERNETES_VERSION = 'v1.35.2';
/** The only form in which today's clients ask for OpenAPI v2. */
const OPENAPI_V2_PROTOBUF = 'application/com.github.proto-openapi.spec.v2@v1.0+protobuf';
const DOCUMENT_LIFETIME_SECONDS = 365 * 24 * 3600;

interface CachedText {
  readonly generation: number;
  readonly text: string;
  readonly etag: string;
}

/** Everything that isn't a resource: discovery, OpenAPI, version, health, and the token issuer's keys. */
export class PathEndpoint {
  private readonly catalog: ResourceCatalog;
  private readonly signer: TokenSigner;
  private readonly issuer: string;
  /** Documents of the present generation of the catalogue, by path and variant; bounded by the group-versions. */
  private readonly cache = new Map<string, CachedText>();

  constructor(catalog: ResourceCatalog, signer: TokenSigner, issuer: string) {
    this.catalog = catalog;
    this.signer = signer;
    this.issuer = issuer;
  }

  serve(exchange: HttpExchange): void {
    const path = exchange.url.pathname.replace(/\/+$/, '') || '/';
    switch (path) {
      case '/version':
        return exchange.json(200, versionInfo());
      case '/healthz':
      case '/livez':
      case '/readyz':
        return exchange.text(200, 'ok');
      case '/api':
      case '/apis':
        return this.discovery(exchange, path === '/api' ? 'api' : 'apis');
      case '/openapi/v3':
        return this.openApiIndex(exchange);
      case '/openapi/v2':
        return emptyOpenApiV2(exchange);
      case '/.well-known/openid-configuration':
        return exchange.json(200, openIdConfiguration(this.issuer));
      case '/openid/v1/jwks':
        return exchange.json(200, this.signer.jwks(), { 'content-type': 'application/jwk-set+json' });
      case '/':
        return exchange.json(200, {
          paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v3', '/readyz', '/version'],
        });
      default:
        return this.servePrefix(exchange, path);
    }
  }

  private servePrefix(exchange: HttpExchange, path: string): void {
    const segments = path.slice(1).split('/');
    if (segments[0] === 'openapi' && segments[1] === 'v3')
      return this.openApiDocument(exchange, segments.slice(2));
    if (segments[0] === 'readyz' || segments[0] === 'livez' || segments[0] === 'healthz')
      return exchange.text(200, 'ok');
    const document =
      segments[0] === 'api' && segments.length === 2
        ? apiResourceList(this.catalog, '', segments[1] ?? '')
        : segments[0] === 'apis' && segments.length === 2
          ? apiGroup(this.catalog, segments[1] ?? '')
          : segments[0] === 'apis' && segments.length === 3
            ? apiResourceList(this.catalog, segments[1] ?? '', segments[2] ?? '')
            : undefined;
    if (document === undefined) throw noSuchPath();
    exchange.json(200, document);
  }

  private discovery(exchange: HttpExchange, root: 'api' | 'apis'): void {
    const version = negotiateDiscovery(exchange.headers.accept);
    if (version === undefined) {
      return exchange.json(200, root === 'api' ? legacyApiVersions() : apiGroupList(this.catalog), {
        vary: 'Accept',
      });
    }
    const cached = this.cached(`${root} ${version}`, () => aggregatedDiscovery(this.catalog, root, version));
    this.sendCached(exchange, cached, {
      'content-type': `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`,
      vary: 'Accept',
      'cache-control': 'public',
    });
  }

  private openApiIndex(exchange: HttpExchange): void {
    const cached = this.cached('openapi', () => openApiV3Index(this.openApiInput()));
    this.sendCached(exchange, cached, {
      'content-type': 'application/json',
      'cache-control': 'no-cache, private',
    });
  }

  private openApiDocument(exchange: HttpExchange, segments: readonly string[]): void {
    const groupVersion =
      segments[0] === 'api' && segments.length === 2
        ? { group: '', version: segments[1] ?? '' }
        : segments[0] === 'apis' && segments.length === 3
          ? { group: segments[1] ?? '', version: segments[2] ?? '' }
          : undefined;
    if (groupVersion === undefined) throw noSuchPath();
    const name = `openapi ${groupVersion.group}/${groupVersion.version}`;
    const cached = this.cached(name, () => openApiV3Document(this.openApiInput(), groupVersion)?.document);
    const lasting = exchange.url.searchParams.has('hash');
    this.sendCached(exchange, cached, {
      'content-type': 'application/json',
      'cache-control': lasting ? 'public, immutable' : 'no-cache, private',
      ...(lasting ? { expires: new Date(Date.now() + DOCUMENT_LIFETIME_SECONDS * 1000).toUTCString() } : {}),
    });
  }

  private openApiInput() {
    return { registry: this.catalog.registry, customTypes: customTypes(this.catalog) };
  }

  private cached(name: string, make: () => JsonObject | undefined): CachedText {
    const { generation } = this.catalog;
    const known = this.cache.get(name);
    if (known?.generation === generation) return known;
    for (const [key, { generation: old }] of this.cache) if (old !== generation) this.cache.delete(key);
    const document = make();
    if (document === undefined) throw noSuchPath();
    const text = JSON.stringify(document);
    const etag = `"${createHash('sha256').update(text).digest('hex').toUpperCase().slice(0, 64)}"`;
    const made = { generation, text, etag };
    this.cache.set(name, made);
    return made;
  }

  private sendCached(
    exchange: HttpExchange,
    { text, etag }: CachedText,
    headers: Readonly<Record<string, string>>,
  ): void {
    if (exchange.headers['if-none-match'] === etag) return exchange.send(304, '', { etag, ...headers });
    exchange.send(200, text, { etag, ...headers });
  }
}

/**
 * kubectl checks a `kind: List` itself, by this document, before it sends the items; without the document it gives up.
 * The empty one, which in protobuf is no bytes at all, objects to nothing: each item is checked here when it comes.
 */
function emptyOpenApiV2(exchange: HttpExchange): void {
  if (exchange.headers.accept?.includes(OPENAPI_V2_PROTOBUF) !== true) throw noSuchPath();
  // Go's media types have no @ in them, so servers answer with another than they were asked for.
  exchange.send(200, '', { 'content-type': OPENAPI_V2_PROTOBUF.replace('@', '.') });
}

function versionInfo(): JsonObject {
  return {
    major: '1',
    minor: '35',
    gitVersion: `${KUBERNETES_VERSION}+weft`,
    gitCommit: '',
    gitTreeState: 'clean',
    buildDate: '1970-01-01T00:00:00Z',
    goVersion: 'none',
    compiler: 'node',
    platform: `linux/${process.arch === 'x64' ? 'amd64' : process.arch}`,
  };
}

function openIdConfiguration(issuer: string): JsonObject {
  return {
    issuer,
    jwks_uri: `${issuer}/openid/v1/jwks`,
    response_types_supported: ['id_token'],
    subject_types_supported: ['public'],
    id_token_signing_alg_values_supported: ['ES256', 'RS256'],
  };
}
