import {
  defineResource,
  integer,
  list,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import { istioStatus, workloadEndpoint, workloadSelector } from '../istio-parts.ts';

export const serviceEntry = defineResource({
  group: 'networking.istio.io',
  kind: 'ServiceEntry',
  plural: 'serviceentries',
  shortNames: ['se'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Hosts', jsonPath: '.spec.hosts', type: 'string' },
    { name: 'Location', jsonPath: '.spec.location', type: 'string' },
    { name: 'Resolution', jsonPath: '.spec.resolution', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      addresses: list(string({ maxLength: 64 }), { maxItems: 256 }),
      endpoints: list(workloadEndpoint, { maxItems: 4096 }),
      exportTo: list(string()),
      hosts: required(list(string(), { minItems: 1, maxItems: 256 })),
      location: oneOf(['MESH_EXTERNAL', 'MESH_INTERNAL']),
      ports: list(
        object({
          name: required(string({ maxLength: 256 })),
          number: required(integer({ minimum: 0, maximum: 4294967295 })),
          protocol: string({ maxLength: 256 }),
          targetPort: integer({ minimum: 0, maximum: 4294967295 }),
        }),
        { maxItems: 256, listType: 'map', listMapKeys: ['name'] },
      ),
      resolution: oneOf(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']),
      subjectAltNames: list(string()),
      workloadSelector: workloadSelector,
    }),
    status: istioStatus,
  }),
});

export type ServiceEntry = CustomResource<typeof serviceEntry>;
