import { defineResource, object, type CustomResource } from '../model.ts';
import { istioStatus, workloadEndpoint } from '../istio-parts.ts';

export const workloadEntry = defineResource({
  group: 'networking.istio.io',
  kind: 'WorkloadEntry',
  plural: 'workloadentries',
  shortNames: ['we'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
    { name: 'Address', jsonPath: '.spec.address', type: 'string' },
  ],
  schema: object({
    spec: workloadEndpoint,
    status: istioStatus,
  }),
});

export type WorkloadEntry = CustomResource<typeof workloadEntry>;
