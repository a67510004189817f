import { defineResource, list, object, oneOf, required, string, type CustomResource } from '../model.ts';
import { destination, istioStatus, serverTls, servicePort, workloadSelector } from '../istio-parts.ts';
import { connectionPool } from '../traffic-policy-parts.ts';

export const sidecar = defineResource({
  group: 'networking.istio.io',
  kind: 'Sidecar',
  plural: 'sidecars',
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [],
  schema: object({
    spec: object({
      egress: list(
        object({
          bind: string(),
          captureMode: oneOf(['DEFAULT', 'IPTABLES', 'NONE']),
          hosts: required(list(string())),
          port: servicePort,
        }),
      ),
      inboundConnectionPool: connectionPool,
      ingress: list(
        object({
          bind: string(),
          captureMode: oneOf(['DEFAULT', 'IPTABLES', 'NONE']),
          connectionPool: connectionPool,
          defaultEndpoint: string(),
          port: required(servicePort),
          tls: serverTls,
        }),
      ),
      outboundTrafficPolicy: object({
        egressProxy: destination,
        mode: oneOf(['REGISTRY_ONLY', 'ALLOW_ANY']),
      }),
      workloadSelector: workloadSelector,
    }),
    status: istioStatus,
  }),
});

export type Sidecar = CustomResource<typeof sidecar>;
