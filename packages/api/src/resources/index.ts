import type { ResourceModel } from './model.ts';
import { trafficExtension } from './extensions/traffic-extension.ts';
import { wasmPlugin } from './extensions/wasm-plugin.ts';
import { destinationRule } from './networking/destination-rule.ts';
import { envoyFilter } from './networking/envoy-filter.ts';
import { gateway as istioGateway } from './networking/gateway.ts';
import { proxyConfig } from './networking/proxy-config.ts';
import { serviceEntry } from './networking/service-entry.ts';
import { sidecar } from './networking/sidecar.ts';
import { virtualService } from './networking/virtual-service.ts';
import { workloadEntry } from './networking/workload-entry.ts';
import { workloadGroup } from './networking/workload-group.ts';
import { authorizationPolicy } from './security/authorization-policy.ts';
import { peerAuthentication } from './security/peer-authentication.ts';
import { requestAuthentication } from './security/request-authentication.ts';
import { telemetry } from './telemetry/telemetry.ts';
import { backendTLSPolicy } from './gateway-api/backend-tls-policy.ts';
import { gatewayClass } from './gateway-api/gateway-class.ts';
import { gateway } from './gateway-api/gateway.ts';
import { grpcRoute } from './gateway-api/grpc-route.ts';
import { httpRoute } from './gateway-api/http-route.ts';
import { listenerSet } from './gateway-api/listener-set.ts';
import { referenceGrant } from './gateway-api/reference-grant.ts';
import { tcpRoute } from './gateway-api/tcp-route.ts';
import { tlsRoute } from './gateway-api/tls-route.ts';
import { udpRoute } from './gateway-api/udp-route.ts';

/** Istio's custom resources: networking, security, telemetry and extensions. */
export const istioResources: readonly ResourceModel<unknown>[] = [
  trafficExtension,
  wasmPlugin,
  destinationRule,
  envoyFilter,
  istioGateway,
  proxyConfig,
  serviceEntry,
  sidecar,
  virtualService,
  workloadEntry,
  workloadGroup,
  authorizationPolicy,
  peerAuthentication,
  requestAuthentication,
  telemetry,
];

/** Gateway API resources of the standard channel. */
export const gatewayApiResources: readonly ResourceModel<unknown>[] = [
  backendTLSPolicy,
  gatewayClass,
  gateway,
  grpcRoute,
  httpRoute,
  listenerSet,
  referenceGrant,
  tcpRoute,
  tlsRoute,
  udpRoute,
];

/** The bundle that these Gateway API models correspond to. */
export const GATEWAY_API_BUNDLE_VERSION = 'v1.6.0';

export type { AuthorizationPolicy } from './security/authorization-policy.ts';
export type { PeerAuthentication } from './security/peer-authentication.ts';
export type { Gateway } from './gateway-api/gateway.ts';
export { customResourceDefinition } from './custom-resource-definition.ts';
export type { CustomResource, Infer, OpenApiSchema, ResourceModel } from './model.ts';
