import { defineResource, list, map, object, required, string, type CustomResource } from '../model.ts';
import { istioStatus, selector } from '../istio-parts.ts';
import { trafficPolicy } from '../traffic-policy-parts.ts';

export const destinationRule = defineResource({
  group: 'networking.istio.io',
  kind: 'DestinationRule',
  plural: 'destinationrules',
  shortNames: ['dr'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Host', jsonPath: '.spec.host', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      exportTo: list(string()),
      host: required(string()),
      subsets: list(
        object({
          labels: map(string()),
          name: required(string()),
          trafficPolicy: trafficPolicy,
        }),
      ),
      trafficPolicy: trafficPolicy,
      workloadSelector: selector,
    }),
    status: istioStatus,
  }),
});

export type DestinationRule = CustomResource<typeof destinationRule>;
