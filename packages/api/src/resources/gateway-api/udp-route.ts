import { defineResource, object, type CustomResource } from '../model.ts';
import { l4RouteSpec, routeStatus } from '../gateway-api-parts.ts';

export const udpRoute = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'UDPRoute',
  plural: 'udproutes',
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [
    { name: 'v1', storage: true },
    { name: 'v1alpha2', served: false },
  ],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: l4RouteSpec,
    status: routeStatus,
  }),
});

export type UDPRoute = CustomResource<typeof udpRoute>;
