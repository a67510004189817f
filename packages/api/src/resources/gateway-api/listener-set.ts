import { defineResource, object, required, string, type CustomResource } from '../model.ts';
import { gatewayGroup, gatewayKind, namespaceName, pending } from '../gateway-api-parts.ts';
import { gatewayConditions, gatewayListeners, listenerStatuses } from '../listener-parts.ts';

export const listenerSet = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'ListenerSet',
  plural: 'listenersets',
  shortNames: ['lset'],
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }],
  statusSubresource: true,
  columns: [
    { name: 'Accepted', jsonPath: '.status.conditions[?(@.type=="Accepted")].status', type: 'string' },
    { name: 'Programmed', jsonPath: '.status.conditions[?(@.type=="Programmed")].status', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      listeners: required(gatewayListeners),
      parentRef: required(
        object({
          group: gatewayGroup,
          kind: gatewayKind,
          name: required(string({ minLength: 1, maxLength: 253 })),
          namespace: namespaceName,
        }),
      ),
    }),
    status: object(
      {
        conditions: gatewayConditions,
        listeners: listenerStatuses,
      },
      {
        default: {
          conditions: [pending('Accepted'), pending('Programmed')],
        },
      },
    ),
  }),
});

export type ListenerSet = CustomResource<typeof listenerSet>;
