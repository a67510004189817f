/** What a URL and method ask for, in the terms authorisation uses. */
export type RequestInfo = ResourceRequest | PathRequest;

export interface ResourceRequest {
  readonly kind: 'resource';
  readonly verb: Verb;
  readonly group: string;
  readonly version: string;
  readonly namespace: string | undefined;
  readonly plural: string;
  readonly subresource: string | undefined;
  readonly name: string | undefined;
}

export interface PathRequest {
  readonly kind: 'path';
  readonly verb: string;
  readonly path: string;
}

export type Verb = 'get' | 'list' | 'watch' | 'create' | 'update' | 'patch' | 'delete' | 'deletecollection';

/** Subresources of a namespace, which otherwise look like resources inside it. */
const namespaceSubresources: ReadonlySet<string> = new Set(['status', 'finalize']);

/** Reads `/api/v1/…` and `/apis/GROUP/VERSION/…`; everything else is a plain path. Undefined for a bad escape. */
export function parseRequest(method: string, url: URL): RequestInfo | undefined {
  const segments = decodeSegments(url.pathname);
  if (segments === undefined) return undefined;
  const path: PathRequest = { kind: 'path', verb: method.toLowerCase(), path: url.pathname };
  const [root, ...rest] = segments;
  if (root === 'api' && rest.length >= 2)
    return resourceRequest(method, url, '', rest[0] ?? '', rest.slice(1)) ?? path;
  if (root === 'apis' && rest.length >= 3) {
    return resourceRequest(method, url, rest[0] ?? '', rest[1] ?? '', rest.slice(2)) ?? path;
  }
  return path;
}

/**
 * The name that authorisation looks at. A list or watch that selects one object by its name counts as a request for
 * that object, so that a rule with `resourceNames` can allow it.
 */
export function authorizedName(info: ResourceRequest, url: URL): string | undefined {
  if (info.name !== undefined) return info.name;
  if (!['list', 'watch', 'deletecollection'].includes(info.verb)) return undefined;
  const terms = (url.searchParams.get('fieldSelector') ?? '').split(',');
  return terms.map((term) => /^metadata\.name==?([^=!]+)$/.exec(term)?.[1]).find((n) => n !== undefined);
}

function resourceRequest(
  method: string,
  url: URL,
  group: string,
  version: string,
  segments: readonly string[],
): ResourceRequest | undefined {
  let [plural, name, subresource, ...extra] = segments;
  let namespace: string | undefined;
  if (plural === 'namespaces' && name !== undefined) {
    if (subresource === undefined || (extra.length === 0 && namespaceSubresources.has(subresource))) {
      // The namespace object itself: its name is also the namespace that role bindings grant it in.
      namespace = name;
    } else {
      namespace = name;
      [plural, name, subresource, ...extra] = segments.slice(2);
    }
  }
  // Proxied paths go on below the subresource; they are cut off here and read from the URL again.
  if (plural === undefined || plural === '' || (extra.length > 0 && subresource !== 'proxy'))
    return undefined;
  const verb = verbOf(method, url, name);
  if (verb === undefined) return undefined;
  return { kind: 'resource', verb, group, version, namespace, plural, subresource, name };
}

function verbOf(method: string, url: URL, name: string | undefined): Verb | undefined {
  switch (method) {
    case 'GET':
    case 'HEAD': {
      const watch = url.searchParams.get('watch');
      if (watch !== null && watch !== 'false' && watch !== '0') return 'watch';
      return name === undefined ? 'list' : 'get';
    }
    case 'POST':
      return 'create';
    case 'PUT':
      return 'update';
    case 'PATCH':
      return 'patch';
    case 'DELETE':
      return name === undefined ? 'deletecollection' : 'delete';
    default:
      return undefined;
  }
}

function decodeSegments(pathname: string): string[] | undefined {
  try {
    return pathname
      .split('/')
      .filter((segment) => segment !== '')
      .map((segment) => decodeURIComponent(segment));
  } catch {
    return undefined;
  }
}
