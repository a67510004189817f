import {
  apiVersionOf,
  type GroupVersionKind,
  type JsonObject,
  type ResourceDefinition,
} from '../schema/index.ts';
import { gvkExtension } from './schemas.ts';

/** The paths of one resource: collection, item and subresources, with the operations that its verbs stand for. */
export function pathsOf(resource: ResourceDefinition, schema: JsonObject): JsonObject {
  const root = resource.group === '' ? `/api/${resource.version}` : `/apis/${apiVersionOf(resource)}`;
  const scope = resource.namespaced ? `${root}/namespaces/{namespace}` : root;
  const collection = `${scope}/${resource.plural}`;
  const item = `${collection}/{name}`;
  const paths: JsonObject = {};
  const put = (path: string, methods: JsonObject): void => {
    if (Object.keys(methods).length > 0) paths[path] = methods;
  };
  put(collection, operations(resource.verbs, collectionVerbs, resource, schema));
  put(item, operations(resource.verbs, itemVerbs, resource, schema));
  if (resource.namespaced && resource.verbs.includes('list')) {
    put(`${root}/${resource.plural}`, operations(['list'], collectionVerbs, resource, schema));
  }
  for (const subresource of resource.subresources) {
    // Their bodies may be of another group-version, whose schemas are in another document.
    const methods = operations(subresource.verbs, { ...itemVerbs, create: 'post' }, subresource, {
      type: 'object',
    });
    put(`${item}/${subresource.name}`, methods);
  }
  return paths;
}

const collectionVerbs = { list: 'get', create: 'post', deletecollection: 'delete' } as const;
const itemVerbs = { get: 'get', update: 'put', patch: 'patch', delete: 'delete' } as const;

function operations(
  verbs: readonly string[],
  methods: Readonly<Record<string, string>>,
  kind: GroupVersionKind,
  schema: JsonObject,
): JsonObject {
  return Object.fromEntries(
    Object.entries(methods)
      .filter(([verb]) => verbs.includes(verb))
      .map(([verb, method]) => [method, operation(verb, kind, schema)]),
  );
}

/**
 * kubectl validates on the server when the PATCH of the kind has a `fieldValidation` parameter; the extension is
 * how it finds the operation.
 */
function operation(verb: string, kind: GroupVersionKind, schema: JsonObject): JsonObject {
  const writes = verb === 'create' || verb === 'update' || verb === 'patch';
  const { 'x-kubernetes-group-version-kind': kinds } = gvkExtension(kind);
  const [gvk] = Array.isArray(kinds) ? kinds : [];
  return {
    parameters: (writes ? [...writeParameters, ...(verb === 'patch' ? [forceParameter] : [])] : []).map(
      queryParameter,
    ),
    ...(writes ? { requestBody: { content: { [verb === 'patch' ? patchType : '*/*']: { schema } } } } : {}),
    responses: { '200': { description: 'OK', content: { 'application/json': { schema } } } },
    'x-kubernetes-action': verb === 'create' ? 'post' : verb === 'update' ? 'put' : verb,
    'x-kubernetes-group-version-kind': gvk ?? {},
  };
}

const patchType = 'application/apply-patch+yaml';
const writeParameters = ['dryRun', 'fieldManager', 'fieldValidation'];
const forceParameter = 'force';

function queryParameter(name: string): JsonObject {
  return {
    name,
    in: 'query',
    schema: { type: name === forceParameter ? 'boolean' : 'string', uniqueItems: true },
  };
}
