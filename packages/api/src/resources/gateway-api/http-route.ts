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
  gatewayDuration,
  headerMatches,
  headerName,
  hostname,
  httpRouteFilters,
  namespaceName,
  parentRefs,
  routeStatus,
  sectionName,
  serviceKind,
} from '../gateway-api-parts.ts';

export const httpRoute = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'HTTPRoute',
  plural: 'httproutes',
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
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
              filters: httpRouteFilters,
              group: coreGroup,
              kind: serviceKind,
              name: required(string({ minLength: 1, maxLength: 253 })),
              namespace: namespaceName,
              port: integer({ minimum: 1, maximum: 65535, format: 'int32' }),
              weight: integer({ minimum: 0, maximum: 1000000, format: 'int32', default: 1 }),
            }),
            { maxItems: 16, listType: 'atomic' },
          ),
          filters: httpRouteFilters,
          matches: list(
            object({
              headers: headerMatches,
              method: oneOf(['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'CONNECT', 'OPTIONS', 'TRACE', 'PATCH']),
              path: object(
                {
                  type: oneOf(['Exact', 'PathPrefix', 'RegularExpression'], { default: 'PathPrefix' }),
                  value: string({ maxLength: 1024, default: '/' }),
                },
                { default: { type: 'PathPrefix', value: '/' } },
              ),
              queryParams: list(
                object({
                  name: required(headerName),
                  type: oneOf(['Exact', 'RegularExpression'], { default: 'Exact' }),
                  value: required(string({ minLength: 1, maxLength: 1024 })),
                }),
                { maxItems: 16, listType: 'map', listMapKeys: ['name'] },
              ),
            }),
            { maxItems: 64, listType: 'atomic', default: [{ path: { type: 'PathPrefix', value: '/' } }] },
          ),
          name: sectionName,
          // Of the experimental channel: without it there is no way to ask for retries.
          retry: object({
            attempts: integer(),
            backoff: gatewayDuration,
            codes: list(integer({ minimum: 400, maximum: 599 }), { listType: 'atomic' }),
          }),
          timeouts: object({
            backendRequest: gatewayDuration,
            request: gatewayDuration,
          }),
        }),
        {
          minItems: 1,
          maxItems: 16,
          listType: 'atomic',
          default: [{ matches: [{ path: { type: 'PathPrefix', value: '/' } }] }],
        },
      ),
    }),
    status: routeStatus,
  }),
});

export type HTTPRoute = CustomResource<typeof httpRoute>;
