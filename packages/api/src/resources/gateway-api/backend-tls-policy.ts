import { defineResource, list, map, object, oneOf, required, string, type CustomResource } from '../model.ts';
import {
  ancestorConditions,
  apiGroup,
  apiKind,
  controllerName,
  extensionRef,
  hostname,
  parentRef,
  sectionName,
} from '../gateway-api-parts.ts';

export const backendTLSPolicy = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'BackendTLSPolicy',
  plural: 'backendtlspolicies',
  shortNames: ['btlspolicy'],
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [
    { name: 'v1', storage: true },
    { name: 'v1alpha3', served: false },
  ],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      options: map(string(), { maxProperties: 16 }),
      targetRefs: required(
        list(
          object({
            group: required(apiGroup),
            kind: required(apiKind),
            name: required(string({ minLength: 1, maxLength: 253 })),
            sectionName: sectionName,
          }),
          { minItems: 1, maxItems: 16, listType: 'atomic' },
        ),
      ),
      validation: required(
        object({
          caCertificateRefs: list(extensionRef, { maxItems: 8, listType: 'atomic' }),
          hostname: required(sectionName),
          subjectAltNames: list(
            object({
              hostname: hostname,
              type: required(oneOf(['Hostname', 'URI'])),
              uri: string({
                minLength: 1,
                maxLength: 253,
                pattern: '^(([^:/?#]+):)(//([^/?#]*))([^?#]*)(\\?([^#]*))?(#(.*))?',
              }),
            }),
            { maxItems: 5, listType: 'atomic' },
          ),
          wellKnownCACertificates: string({
            minLength: 1,
            maxLength: 253,
            pattern:
              '^(System|([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]))$',
          }),
        }),
      ),
    }),
    status: object({
      ancestors: required(
        list(
          object({
            ancestorRef: required(parentRef),
            conditions: required(ancestorConditions),
            controllerName: required(controllerName),
          }),
          { maxItems: 16, listType: 'atomic' },
        ),
      ),
    }),
  }),
});

export type BackendTLSPolicy = CustomResource<typeof backendTLSPolicy>;
