import {
  defineResource,
  boolean,
  list,
  map,
  number,
  object,
  oneOf,
  required,
  string,
  type CustomResource,
} from '../model.ts';
import { environment, istioStatus, providers, selector, targetRef, targetRefs } from '../istio-parts.ts';

export const telemetry = defineResource({
  group: 'telemetry.istio.io',
  kind: 'Telemetry',
  plural: 'telemetries',
  shortNames: ['telemetry'],
  categories: ['istio-io', 'telemetry-istio-io'],
  scope: 'Namespaced',
  versions: [{ name: 'v1' }, { name: 'v1alpha1', storage: true }],
  statusSubresource: true,
  columns: [{ name: 'Age', jsonPath: '.metadata.creationTimestamp', type: 'date' }],
  schema: object({
    spec: object({
      accessLogging: list(
        object({
          disabled: boolean({ nullable: true }),
          filter: object({
            expression: string(),
          }),
          match: object({
            mode: oneOf(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']),
          }),
          providers: providers,
        }),
      ),
      metrics: list(
        object({
          overrides: list(
            object({
              disabled: boolean({ nullable: true }),
              match: object(
                {
                  customMetric: string({ minLength: 1 }),
                  metric: oneOf([
                    'ALL_METRICS',
                    'REQUEST_COUNT',
                    'REQUEST_DURATION',
                    'REQUEST_SIZE',
                    'RESPONSE_SIZE',
                    'TCP_OPENED_CONNECTIONS',
                    'TCP_CLOSED_CONNECTIONS',
                    'TCP_SENT_BYTES',
                    'TCP_RECEIVED_BYTES',
                    'GRPC_REQUEST_MESSAGES',
                    'GRPC_RESPONSE_MESSAGES',
                  ]),
                  mode: oneOf(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']),
                },
                { atMostOneOf: ['metric', 'customMetric'] },
              ),
              tagOverrides: map(
                object({
                  operation: oneOf(['UPSERT', 'REMOVE']),
                  value: string(),
                }),
              ),
            }),
          ),
          providers: providers,
          reportingInterval: string(),
        }),
      ),
      selector: selector,
      targetRef: targetRef,
      targetRefs: targetRefs,
      tracing: list(
        object({
          customTags: map(
            object({
              environment: environment,
              formatter: object({
                value: required(string({ minLength: 1 })),
              }),
              header: environment,
              literal: object({
                value: required(string({ minLength: 1 })),
              }),
            }),
          ),
          disableContextPropagation: boolean({ nullable: true }),
          disableSpanReporting: boolean({ nullable: true }),
          enableIstioTags: boolean({ nullable: true }),
          match: object({
            mode: oneOf(['CLIENT_AND_SERVER', 'CLIENT', 'SERVER']),
          }),
          providers: providers,
          randomSamplingPercentage: number({ minimum: 0, maximum: 100, format: 'double', nullable: true }),
          useRequestIdForTraceSampling: boolean({ nullable: true }),
        }),
      ),
    }),
    status: istioStatus,
  }),
});

export type Telemetry = CustomResource<typeof telemetry>;
