import {
  defineResource,
  integer,
  list,
  map,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import { addressType, extensionRef, labelSelector, pending } from '../gateway-api-parts.ts';
import {
  certificateRef,
  frontendTls,
  gatewayConditions,
  gatewayListeners,
  listenerStatuses,
} from '../listener-parts.ts';

export const gateway = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'Gateway',
  plural: 'gateways',
  shortNames: ['gtw'],
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Class', jsonPath: '.spec.gatewayClassName', type: 'string' },
    { name: 'Address', jsonPath: '.status.addresses[*].value', type: 'string' },
    { name: 'Programmed', jsonPath: '.status.conditions[?(@.type=="Programmed")].status', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      addresses: list(
        object({
          type: addressType,
          value: string({ maxLength: 253 }),
        }),
        { maxItems: 16, listType: 'atomic' },
      ),
      allowedListeners: object({
        namespaces: object(
          {
            from: oneOf(['All', 'Selector', 'Same', 'None'], { default: 'None' }),
            selector: labelSelector,
          },
          { default: { from: 'None' } },
        ),
      }),
      gatewayClassName: required(string({ minLength: 1, maxLength: 253 })),
      infrastructure: object({
        annotations: map(string(), { maxProperties: 16 }),
        labels: map(string(), { maxProperties: 8 }),
        parametersRef: extensionRef,
      }),
      listeners: required(gatewayListeners),
      tls: object({
        backend: object({
          clientCertificateRef: certificateRef,
        }),
        frontend: object({
          default: required(frontendTls),
          perPort: list(
            object({
              port: required(integer({ minimum: 1, maximum: 65535, format: 'int32' })),
              tls: required(frontendTls),
            }),
            { maxItems: 64, listType: 'map', listMapKeys: ['port'] },
          ),
        }),
      }),
    }),
    status: object(
      {
        addresses: list(
          object({
            type: addressType,
            value: required(string({ minLength: 1, maxLength: 253 })),
          }),
          { maxItems: 16, listType: 'atomic' },
        ),
        attachedListenerSets: integer({ format: 'int32' }),
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

export type Gateway = CustomResource<typeof gateway>;
