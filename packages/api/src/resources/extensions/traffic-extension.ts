import { defineResource, integer, object, oneOf, required, string, type CustomResource } from '../model.ts';
import { istioStatus, selector, sha256, targetRefs, trafficSelectors, vmConfig } from '../istio-parts.ts';

export const trafficExtension = defineResource({
  group: 'extensions.istio.io',
  kind: 'TrafficExtension',
  plural: 'trafficextensions',
  categories: ['istio-io', 'extensions-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1alpha1', storage: true }],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object(
      {
        lua: object({
          inlineCode: required(string({ minLength: 1, maxLength: 65536 })),
        }),
        match: trafficSelectors,
        phase: oneOf(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']),
        priority: integer({ format: 'int32', nullable: true }),
        selector: selector,
        targetRefs: targetRefs,
        wasm: object({
          failStrategy: oneOf(['FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD']),
          imagePullPolicy: oneOf(['UNSPECIFIED_POLICY', 'IfNotPresent', 'Always']),
          imagePullSecret: string({ minLength: 1, maxLength: 253 }),
          pluginConfig: object({}, { preserveUnknownFields: true }),
          pluginName: string({ minLength: 1, maxLength: 256 }),
          sha256: sha256,
          type: oneOf(['UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK']),
          url: required(string({ minLength: 1 })),
          verificationKey: string(),
          vmConfig: vmConfig,
        }),
      },
      { atMostOneOf: ['wasm', 'lua'] },
    ),
    status: istioStatus,
  }),
});

export type TrafficExtension = CustomResource<typeof trafficExtension>;
