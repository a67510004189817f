import { defineResource, map, object, oneOf, type CustomResource } from '../model.ts';
import { istioStatus, selector } from '../istio-parts.ts';

export const peerAuthentication = defineResource({
  group: 'security.istio.io',
  kind: 'PeerAuthentication',
  plural: 'peerauthentications',
  shortNames: ['pa'],
  categories: ['istio-io', 'security-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Mode', jsonPath: '.spec.mtls.mode', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      mtls: object({
        mode: oneOf(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
      }),
      portLevelMtls: map(
        object({
          mode: oneOf(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
        }),
        { minProperties: 1 },
      ),
      selector: selector,
    }),
    status: istioStatus,
  }),
});

export type PeerAuthentication = CustomResource<typeof peerAuthentication>;
