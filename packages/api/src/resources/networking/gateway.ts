import {
  defineResource,
  integer,
  list,
  map,
  object,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import { istioStatus, serverTls } from '../istio-parts.ts';

export const gateway = defineResource({
  group: 'networking.istio.io',
  kind: 'Gateway',
  plural: 'gateways',
  shortNames: ['gw'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [],
  schema: object({
    spec: object({
      selector: map(string()),
      servers: list(
        object({
          bind: string(),
          defaultEndpoint: string(),
          hosts: required(list(string())),
          name: string(),
          port: required(
            object({
              name: required(string()),
              number: required(integer({ minimum: 0, maximum: 4294967295 })),
              protocol: required(string()),
              targetPort: integer({ minimum: 0, maximum: 4294967295 }),
            }),
          ),
          tls: serverTls,
        }),
      ),
    }),
    status: istioStatus,
  }),
});

export type Gateway = CustomResource<typeof gateway>;
