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
import { istioStatus, workloadEndpointTemplate } from '../istio-parts.ts';

export const workloadGroup = defineResource({
  group: 'networking.istio.io',
  kind: 'WorkloadGroup',
  plural: 'workloadgroups',
  shortNames: ['wg'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      metadata: object({
        annotations: map(string(), { maxProperties: 256 }),
        labels: map(string(), { maxProperties: 256 }),
      }),
      probe: object(
        {
          exec: object({
            command: required(list(string({ minLength: 1 }))),
          }),
          failureThreshold: integer({ minimum: 0, format: 'int32' }),
          grpc: object({
            port: integer({ minimum: 0, maximum: 4294967295 }),
            service: string(),
          }),
          httpGet: object({
            host: string(),
            httpHeaders: list(
              object({
                name: string({ pattern: '^[-_A-Za-z0-9]+$' }),
                value: string(),
              }),
            ),
            path: string(),
            port: required(integer({ minimum: 0, maximum: 4294967295 })),
            scheme: string(),
          }),
          initialDelaySeconds: integer({ minimum: 0, format: 'int32' }),
          periodSeconds: integer({ minimum: 0, format: 'int32' }),
          successThreshold: integer({ minimum: 0, format: 'int32' }),
          tcpSocket: object({
            host: string(),
            port: required(integer({ minimum: 0, maximum: 4294967295 })),
          }),
          timeoutSeconds: integer({ minimum: 0, format: 'int32' }),
        },
        { atMostOneOf: ['httpGet', 'tcpSocket', 'exec', 'grpc'] },
      ),
      template: required(workloadEndpointTemplate),
    }),
    status: istioStatus,
  }),
});

export type WorkloadGroup = CustomResource<typeof workloadGroup>;
