import {
  defineResource,
  integer,
  list,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import {
  coreGroup,
  grpcRouteFilters,
  headerMatches,
  hostname,
  namespaceName,
  parentRefs,
  routeStatus,
  sectionName,
  serviceKind,
} from '../gateway-api-parts.ts';

export const grpcRoute = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'GRPCRoute',
  plural: 'grpcroutes',
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }],
  statusSubresource: true,
  columns: [
    { name: 'Hostnames', jsonPath: '.spec.hostnames', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      hostnames: list(hostname, { maxItems: 16, listType: 'atomic' }),
      parentRefs: parentRefs,
      rules: list(
        object({
          backendRefs: list(
            object({
              filters: grpcRouteFilters,
              group: coreGroup,
              kind: serviceKind,
              name: required(string({ minLength: 1, maxLength: 253 })),
              namespace: namespaceName,
              port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
              weight: integer({ minimum: 0, maximum: 1000000, format: 'int32', default: 1 }),
            }),
            { maxItems: 16, listType: 'atomic' },
          ),
          filters: grpcRouteFilters,
          matches: list(
            object({
              headers: headerMatches,
              method: object({
                method: string({ maxLength: 1024 }),
                service: string({ maxLength: 1024 }),
                type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
              }),
            }),
            { maxItems: 64, listType: 'atomic' },
          ),
          name: sectionName,
        }),
        { maxItems: 16, listType: 'atomic' },
      ),
    }),
    status: routeStatus,
  }),
});

export type GRPCRoute = CustomResource<typeof grpcRoute>;
