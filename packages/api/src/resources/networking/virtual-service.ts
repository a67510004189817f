import {
  defineResource,
  boolean,
  integer,
  list,
  map,
  number,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import {
  corsOrigin,
  destination,
  headers,
  istioStatus,
  routeDestinations,
  stringMatch,
} from '../istio-parts.ts';

export const virtualService = defineResource({
  group: 'networking.istio.io',
  kind: 'VirtualService',
  plural: 'virtualservices',
  shortNames: ['vs'],
  categories: ['istio-io', 'networking-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1', storage: true }, { name: 'v1alpha3' }, { name: 'v1beta1' }],
  statusSubresource: true,
  columns: [
    { name: 'Gateways', jsonPath: '.spec.gateways', type: 'string' },
    { name: 'Hosts', jsonPath: '.spec.hosts', type: 'string' },
    { name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' },
  ],
  schema: object({
    spec: object({
      exportTo: list(string()),
      gateways: list(string()),
      hosts: list(string()),
      http: list(
        object({
          corsPolicy: object({
            allowCredentials: boolean({ nullable: true }),
            allowHeaders: list(string()),
            allowMethods: list(string()),
            allowOrigin: list(string()),
            allowOrigins: list(corsOrigin),
            exposeHeaders: list(string()),
            maxAge: string(),
            unmatchedPreflights: oneOf(['UNSPECIFIED', 'FORWARD', 'IGNORE']),
          }),
          delegate: object({
            name: string(),
            namespace: string(),
          }),
          directResponse: object({
            body: object(
              {
                bytes: string({ format: 'byte' }),
                string: string(),
              },
              { atMostOneOf: ['string', 'bytes'] },
            ),
            status: required(integer({ minimum: 0, maximum: 4294967295 })),
          }),
          fault: object({
            abort: object(
              {
                grpcStatus: string(),
                http2Error: string(),
                httpStatus: integer({ format: 'int32' }),
                percentage: object({
                  value: number({ format: 'double' }),
                }),
              },
              { atMostOneOf: ['httpStatus', 'grpcStatus', 'http2Error'] },
            ),
            delay: object(
              {
                exponentialDelay: string(),
                fixedDelay: string(),
                percent: integer({ format: 'int32' }),
                percentage: object({
                  value: number({ format: 'double' }),
                }),
              },
              { atMostOneOf: ['fixedDelay', 'exponentialDelay'] },
            ),
          }),
          headers: headers,
          match: list(
            object({
              authority: stringMatch,
              gateways: list(string()),
              headers: map(corsOrigin),
              ignoreUriCase: boolean(),
              method: stringMatch,
              name: string(),
              port: integer({ minimum: 0, maximum: 4294967295 }),
              queryParams: map(corsOrigin),
              scheme: stringMatch,
              sourceLabels: map(string()),
              sourceNamespace: string(),
              statPrefix: string(),
              uri: stringMatch,
              withoutHeaders: map(corsOrigin),
            }),
          ),
          mirror: destination,
          mirror_percent: integer({ minimum: 0, maximum: 4294967295, nullable: true }),
          mirrorPercent: integer({ minimum: 0, maximum: 4294967295, nullable: true }),
          mirrorPercentage: object({
            value: number({ format: 'double' }),
          }),
          mirrors: list(
            object({
              destination: required(destination),
              percentage: object({
                value: number({ format: 'double' }),
              }),
            }),
          ),
          name: string(),
          redirect: object(
            {
              authority: string(),
              derivePort: oneOf(['FROM_PROTOCOL_DEFAULT', 'FROM_REQUEST_PORT']),
              port: integer({ minimum: 0, maximum: 4294967295 }),
              prefixRewrite: string(),
              redirectCode: integer({ minimum: 0, maximum: 4294967295 }),
              scheme: string(),
              uri: string(),
            },
            { atMostOneOf: ['port', 'derivePort'] },
          ),
          retries: object({
            attempts: integer({ format: 'int32' }),
            backoff: string(),
            perTryTimeout: string(),
            retryIgnorePreviousHosts: boolean({ nullable: true }),
            retryOn: string(),
            retryRemoteLocalities: boolean({ nullable: true }),
          }),
          rewrite: object({
            authority: string(),
            uri: string(),
            uriRegexRewrite: object({
              match: string(),
              rewrite: string(),
            }),
          }),
          route: list(
            object({
              destination: required(destination),
              headers: headers,
              weight: integer({ format: 'int32' }),
            }),
          ),
          timeout: string(),
        }),
      ),
      tcp: list(
        object({
          match: list(
            object({
              destinationSubnets: list(string()),
              gateways: list(string()),
              port: integer({ minimum: 0, maximum: 4294967295 }),
              sourceLabels: map(string()),
              sourceNamespace: string(),
              sourceSubnet: string(),
            }),
          ),
          route: routeDestinations,
        }),
      ),
      tls: list(
        object({
          match: required(
            list(
              object({
                destinationSubnets: list(string()),
                gateways: list(string()),
                port: integer({ minimum: 0, maximum: 4294967295 }),
                sniHosts: required(list(string())),
                sourceLabels: map(string()),
                sourceNamespace: string(),
              }),
            ),
          ),
          route: routeDestinations,
        }),
      ),
    }),
    status: istioStatus,
  }),
});

export type VirtualService = CustomResource<typeof virtualService>;
