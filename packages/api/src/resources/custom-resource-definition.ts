import type { OpenApiSchema, ResourceModel } from './model.ts';

/** The `apiextensions.k8s.io/v1` manifest of a resource. Every version shares the stored one's schema. */
export function customResourceDefinition<T>(
  resource: ResourceModel<T>,
  metadata: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  } = {},
): OpenApiSchema {
  const { group, kind, plural, shortNames, categories, scope, statusSubresource, columns } = resource;
  const openAPIV3Schema = withObjectFields(resource.schema.openApi);
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}`, ...metadata },
    spec: {
      group,
      names: {
        categories,
        kind,
        listKind: `${kind}List`,
        plural,
        ...(shortNames === undefined ? {} : { shortNames }),
        singular: kind.toLowerCase(),
      },
      scope,
      versions: resource.versions.map(({ name, storage = false, served = true }) => ({
        ...(columns.length > 0 ? { additionalPrinterColumns: columns } : {}),
        name,
        schema: { openAPIV3Schema },
        served,
        storage,
        ...(statusSubresource ? { subresources: { status: {} } } : {}),
      })),
    },
  };
}

function withObjectFields(schema: OpenApiSchema): OpenApiSchema {
  const properties = schema['properties'];
  return {
    ...schema,
    properties: {
      apiVersion: { type: 'string' },
      kind: { type: 'string' },
      metadata: { type: 'object' },
      ...(typeof properties === 'object' ? properties : {}),
    },
  };
}
