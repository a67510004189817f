import { createHash } from 'node:crypto';
import { apiVersionOf, type JsonObject, type TypeRegistry } from '../schema/index.ts';
import { addCustomSchema, type CustomType } from './custom-schemas.ts';
import { pathsOf } from './paths.ts';
import { SchemaCollector } from './schemas.ts';

/** Everything the API serves at the moment. */
export interface OpenApiInput {
  readonly registry: TypeRegistry;
  readonly customTypes: readonly CustomType[];
}

interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** `GET /openapi/v3`: paths such as `apis/apps/v1` with the hashed address of each document. */
export function openApiV3Index(input: OpenApiInput): JsonObject {
  // Built-in documents only change with the table.
  const tableDigest = digest(JSON.stringify(input.registry.definitions));
  const served = new Map<string, GroupVersion>();
  for (const groupVersion of [
    ...input.registry.groupVersions(),
    ...input.customTypes.map(({ resource }) => resource),
  ]) {
    served.set(pathOf(groupVersion), groupVersion);
  }
  const paths = [...served].map(([path, groupVersion]) => {
    const hash = hashOf(input, groupVersion, tableDigest);
    return [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }] as const;
  });
  return { paths: Object.fromEntries(paths) };
}

/** `GET /openapi/v3/apis/apps/v1`; undefined when nothing is served under that group-version. */
export function openApiV3Document(
  input: OpenApiInput,
  groupVersion: GroupVersion,
): { document: JsonObject; hash: string } | undefined {
  const builtIn = input.registry.resources().filter((resource) => isIn(groupVersion, resource));
  const custom = customTypesOf(input, groupVersion);
  if (builtIn.length === 0 && custom.length === 0) return undefined;

  const collector = new SchemaCollector(input.registry);
  let paths: JsonObject = {};
  for (const resource of builtIn) {
    const name = input.registry.definitionName(resource.group, resource.version, resource.kind);
    if (name === undefined) continue;
    const list = input.registry.definitionName(resource.group, resource.version, `${resource.kind}List`);
    if (list !== undefined) collector.add(list);
    paths = { ...paths, ...pathsOf(resource, collector.add(name)) };
  }
  for (const type of custom)
    paths = { ...paths, ...pathsOf(type.resource, addCustomSchema(collector, type)) };
  const document: JsonObject = {
    openapi: '3.0.0',
    info: { title: 'Kubernetes', version: 'v1.35' },
    paths,
    components: { schemas: collector.schemas() },
  };
  return { document, hash: hashOf(input, groupVersion, digest(JSON.stringify(input.registry.definitions))) };
}

function hashOf(input: OpenApiInput, groupVersion: GroupVersion, tableDigest: string): string {
  const custom = customTypesOf(input, groupVersion).map(({ resource, openApiSchema }) => [
    resource,
    openApiSchema,
  ]);
  return digest(`${tableDigest} ${pathOf(groupVersion)} ${JSON.stringify(custom)}`);
}

/** Sorted by name, so that the order in which CRDs were made doesn't show. */
function customTypesOf(input: OpenApiInput, groupVersion: GroupVersion): readonly CustomType[] {
  return input.customTypes
    .filter(({ resource }) => isIn(groupVersion, resource))
    .sort((a, b) => (a.resource.plural < b.resource.plural ? -1 : 1));
}

function isIn(groupVersion: GroupVersion, resource: GroupVersion): boolean {
  return resource.group === groupVersion.group && resource.version === groupVersion.version;
}

function pathOf(groupVersion: GroupVersion): string {
  return groupVersion.group === '' ? `api/${groupVersion.version}` : `apis/${apiVersionOf(groupVersion)}`;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('hex').toUpperCase();
}
