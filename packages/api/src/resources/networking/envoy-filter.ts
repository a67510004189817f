import { defineResource, integer, list, map, object, oneOf, string, type CustomResource } from '../model.ts';
import { istioStatus, networkFilterMatch, targetRefs, workloadSelector } from '../istio-parts.ts';

export const envoyFilter = defineResource({
  group: 'networking.istio.io',
  kind: 'EnvoyFilter',
  plural: 'envoyfilters',
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1alpha3', storage: true }],
  statusSubresource: true,
  columns: [],
  schema: object({
    spec: object({
      configPatches: list(
        object({
          applyTo: oneOf([
            'INVALID',
            'LISTENER',
            'FILTER_CHAIN',
            'NETWORK_FILTER',
            'HTTP_FILTER',
            'ROUTE_CONFIGURATION',
            'VIRTUAL_HOST',
            'HTTP_ROUTE',
            'CLUSTER',
            'EXTENSION_CONFIG',
            'BOOTSTRAP',
            'LISTENER_FILTER',
          ]),
          match: object(
            {
              cluster: object({
                name: string(),
                portNumber: integer({ minimum: 0, maximum: 4294967295 }),
                service: string(),
                subset: string(),
              }),
              context: oneOf(['ANY', 'SIDECAR_INBOUND', 'SIDECAR_OUTBOUND', 'GATEWAY', 'WAYPOINT']),
              listener: object({
                filterChain: object({
                  applicationProtocols: string(),
                  destinationPort: integer({ minimum: 0, maximum: 4294967295 }),
                  filter: networkFilterMatch,
                  name: string(),
                  sni: string(),
                  transportProtocol: string(),
                  transportSocket: string(),
                }),
                listenerFilter: string(),
                name: string(),
                portName: string(),
                portNumber: integer({ minimum: 0, maximum: 4294967295 }),
              }),
              proxy: object({
                metadata: map(string()),
                proxyVersion: string(),
              }),
              routeConfiguration: object({
                gateway: string(),
                name: string(),
                portName: string(),
                portNumber: integer({ minimum: 0, maximum: 4294967295 }),
                vhost: object({
                  domainName: string(),
                  name: string(),
                  route: object({
                    action: oneOf(['ANY', 'ROUTE', 'REDIRECT', 'DIRECT_RESPONSE']),
                    name: string(),
                  }),
                }),
              }),
              waypoint: object({
                filter: networkFilterMatch,
                portNumber: integer({ minimum: 0, maximum: 4294967295 }),
                route: object({
                  name: string(),
                }),
              }),
            },
            { atMostOneOf: ['listener', 'routeConfiguration', 'cluster', 'waypoint'] },
          ),
          patch: object({
            filterClass: oneOf(['UNSPECIFIED', 'AUTHN', 'AUTHZ', 'STATS']),
            operation: oneOf([
              'INVALID',
              'MERGE',
              'ADD',
              'REMOVE',
              'INSERT_BEFORE',
              'INSERT_AFTER',
              'INSERT_FIRST',
              'REPLACE',
              'MERGE_AND_REPLACE_LIST',
            ]),
            value: object({}, { preserveUnknownFields: true }),
          }),
        }),
      ),
      priority: integer({ format: 'int32' }),
      targetRefs: targetRefs,
      workloadSelector: workloadSelector,
    }),
    status: istioStatus,
  }),
});

export type EnvoyFilter = CustomResource<typeof envoyFilter>;
