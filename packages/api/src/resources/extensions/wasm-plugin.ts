import { defineResource, integer, object, oneOf, required, string, type CustomResource } from '../model.ts';
import {
  istioStatus,
  selector,
  sha256,
  targetRef,
  targetRefs,
  trafficSelectors,
  vmConfig,
} from '../istio-parts.ts';

export const wasmPlugin = defineResource({
  group: 'extensions.istio.io',
  kind: 'WasmPlugin',
  plural: 'wasmplugins',
  categories: ['istio-io', 'extensions-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1alpha1', storage: true }],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      failStrategy: oneOf(['FAIL_CLOSE', 'FAIL_OPEN', 'FAIL_RELOAD']),
      imagePullPolicy: oneOf(['UNSPECIFIED_POLICY', 'IfNotPresent', 'Always']),
      imagePullSecret: string({ minLength: 1, maxLength: 253 }),
      match: trafficSelectors,
      phase: oneOf(['UNSPECIFIED_PHASE', 'AUTHN', 'AUTHZ', 'STATS']),
      pluginConfig: object({}, { preserveUnknownFields: true }),
      pluginName: string({ minLength: 1, maxLength: 256 }),
      priority: integer({ format: 'int32', nullable: true }),
      selector: selector,
      sha256: sha256,
      targetRef: targetRef,
      targetRefs: targetRefs,
      type: oneOf(['UNSPECIFIED_PLUGIN_TYPE', 'HTTP', 'NETWORK']),
      url: required(string({ minLength: 1 })),
      verificationKey: string(),
      vmConfig: vmConfig,
    }),
    status: istioStatus,
  }),
});

export type WasmPlugin = CustomResource<typeof wasmPlugin>;
