import { defineResource, list, object, oneOf, required, string, type CustomResource } from '../model.ts';
import { istioStatus, portNumber, workloadEndpoint, workloadSelector } from '../istio-parts.ts';

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
    spec: object(
      {
        addresses: list(string({ maxLength: 64 }), { maxItems: 256 }),
        endpoints: list(workloadEndpoint, { maxItems: 4096 }),
        exportTo: list(string()),
        hosts: required(
          list(string({ rules: [{ rule: "self != '*'", message: 'a host must not be every host' }] }), {
            minItems: 1,
            maxItems: 256,
          }),
        ),
        location: oneOf(['MESH_EXTERNAL', 'MESH_INTERNAL']),
        ports: list(
          object({
            name: required(string({ maxLength: 256 })),
            number: required(portNumber),
            protocol: string({ maxLength: 256 }),
            targetPort: portNumber,
          }),
          {
            maxItems: 256,
            listType: 'map',
            listMapKeys: ['name'],
            rules: [
              {
                rule: 'self.all(port, self.exists_one(other, other.number == port.number))',
                message: 'port numbers must differ',
              },
            ],
          },
        ),
        resolution: oneOf(['NONE', 'STATIC', 'DNS', 'DNS_ROUND_ROBIN', 'DYNAMIC_DNS']),
        subjectAltNames: list(string()),
        workloadSelector: workloadSelector,
      },
      {
        rules: [
          {
            rule: '!(has(self.workloadSelector) && has(self.endpoints))',
            message: 'only one of workloadSelector and endpoints can be set',
          },
          {
            rule: `(has(self.resolution) ? self.resolution : 'NONE') != 'NONE' || !has(self.endpoints)`,
            message: 'endpoints need a resolution other than NONE',
          },
          {
            rule: `(has(self.resolution) ? self.resolution : 'NONE') != 'DNS_ROUND_ROBIN' || !has(self.endpoints) || size(self.endpoints) <= 1`,
            message: 'DNS_ROUND_ROBIN takes one endpoint at most',
          },
          {
            rule: `(has(self.resolution) ? self.resolution : 'NONE') in ['NONE', 'STATIC'] || !has(self.addresses) || !self.addresses.exists(address, address.contains('/'))`,
            message: 'ranges of addresses need resolution NONE or STATIC',
          },
        ],
      },
    ),
    status: istioStatus,
  }),
});

export type ServiceEntry = CustomResource<typeof serviceEntry>;
