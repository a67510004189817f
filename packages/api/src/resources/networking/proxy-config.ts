import { defineResource, integer, map, object, string, type CustomResource } from '../model.ts';
import { istioStatus, selector } from '../istio-parts.ts';

export const proxyConfig = defineResource({
  group: 'networking.istio.io',
  kind: 'ProxyConfig',
  plural: 'proxyconfigs',
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1beta1', storage: true }],
  statusSubresource: true,
  columns: [],
  schema: object({
    spec: object({
      concurrency: integer({ minimum: 0, format: 'int32', nullable: true }),
      environmentVariables: map(string()),
      image: object({
        imageType: string(),
      }),
      selector: selector,
    }),
    status: istioStatus,
  }),
});

export type ProxyConfig = CustomResource<typeof proxyConfig>;
