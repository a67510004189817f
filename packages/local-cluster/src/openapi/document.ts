import type { JsonObject, TypeRegistry, TypeSchema, ResourceDefinition } from '../schema/index.ts';

/** A served version of a CRD, for the documents. */
export interface CustomType {
  readonly resource: ResourceDefinition;
  /** `spec.versions[].schema.openAPIV3Schema`, published as it is. */
  readonly openApiSchema: JsonObject;
  readonly schema: TypeSchema;
}

/** Everything the API serves at the moment. */
export interface OpenApiInput {
  readonly registry: TypeRegistry;
  readonly customTypes: readonly CustomType[];
}

/** `GET /openapi/v3`: paths such as `apis/apps/v1` with the hashed address of each document. */
export function openApiV3Index(_input: OpenApiInput): JsonObject {
  return { paths: {} };
}

/** `GET /openapi/v3/apis/apps/v1`; undefined when nothing is served under that group-version. */
export function openApiV3Document(
  _input: OpenApiInput,
  _groupVersion: { readonly group: string; readonly version: string },
): { document: JsonObject; hash: string } | undefined {
  return undefined;
}
