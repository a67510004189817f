import { defineResource, list, object, required, type CustomResource } from '../model.ts';
import { hostname, l4Rules, parentRefs, routeStatus } from '../gateway-api-parts.ts';

export const tlsRoute = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'TLSRoute',
  plural: 'tlsroutes',
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [
    { name: 'v1', storage: true },
    { name: 'v1alpha2', served: false },
    { name: 'v1alpha3', served: false },
  ],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      hostnames: required(list(hostname, { minItems: 1, maxItems: 1024, listType: 'atomic' })),
      parentRefs: parentRefs,
      rules: required(l4Rules),
    }),
    status: routeStatus,
  }),
});

export type TLSRoute = CustomResource<typeof tlsRoute>;
