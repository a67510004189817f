import { defineResource, list, object, required, string, type CustomResource } from '../model.ts';
import { caCertificateRef, condition, controllerName, pending } from '../gateway-api-parts.ts';

export const gatewayClass = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'GatewayClass',
  plural: 'gatewayclasses',
  shortNames: ['gc'],
  categories: ['gateway-api'],
  scope: 'Cluster',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Controller', jsonPath: '.spec.controllerName', type: 'string' },
    { name: 'Accepted', jsonPath: '.status.conditions[?(@.type=="Accepted")].status', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
    { name: 'Description', jsonPath: '.spec.description', type: 'string', priority: 1 },
  ],
  schema: object({
    spec: object({
      controllerName: required(controllerName),
      description: string({ maxLength: 64 }),
      parametersRef: caCertificateRef,
    }),
    status: object(
      {
        conditions: list(condition, {
          maxItems: 8,
          listType: 'map',
          listMapKeys: ['type'],
          default: [pending('Accepted')],
        }),
        supportedFeatures: list(
          object({
            name: required(string()),
          }),
          { maxItems: 64, listType: 'map', listMapKeys: ['name'] },
        ),
      },
      {
        default: {
          conditions: [pending('Accepted')],
        },
      },
    ),
  }),
});

export type GatewayClass = CustomResource<typeof gatewayClass>;
