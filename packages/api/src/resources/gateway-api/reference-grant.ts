import { defineResource, list, object, required, string, type CustomResource } from '../model.ts';
import { apiGroup, apiKind, namespaceName } from '../gateway-api-parts.ts';

export const referenceGrant = defineResource({
  group: 'gateway.networking.k8s.io',
  kind: 'ReferenceGrant',
  plural: 'referencegrants',
  shortNames: ['refgrant'],
  categories: ['gateway-api'],
  scope: 'Namespaced',
  versions: [{ name: 'v1' }, { name: 'v1beta1', storage: true }],
  statusSubresource: false,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      from: required(
        list(
          object({
            group: required(apiGroup),
            kind: required(apiKind),
            namespace: required(namespaceName),
          }),
          { minItems: 1, maxItems: 16, listType: 'atomic' },
        ),
      ),
      to: required(
        list(
          object({
            group: required(apiGroup),
            kind: required(apiKind),
            name: string({ minLength: 1, maxLength: 253 }),
          }),
          { minItems: 1, maxItems: 16, listType: 'atomic' },
        ),
      ),
    }),
  }),
});

export type ReferenceGrant = CustomResource<typeof referenceGrant>;
