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
    spec: object(
      {
        mtls: object({
          mode: oneOf(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
        }),
        portLevelMtls: map(
          object({
            mode: oneOf(['UNSET', 'DISABLE', 'PERMISSIVE', 'STRICT']),
          }),
          {
            minProperties: 1,
            rules: [
              {
                rule: 'self.all(port, 0 < int(port) && int(port) <= 65535)',
                message: 'must be a port from 1 to 65535',
              },
            ],
          },
        ),
        selector: selector,
      },
      {
        rules: [
          {
            rule: '!has(self.portLevelMtls) || (has(self.selector) && has(self.selector.matchLabels) && size(self.selector.matchLabels) > 0)',
            message: 'portLevelMtls needs a selector with labels: ports belong to particular workloads',
          },
        ],
      },
    ),
    status: istioStatus,
  }),
});

export type PeerAuthentication = CustomResource<typeof peerAuthentication>;
