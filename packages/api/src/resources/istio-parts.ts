/** Parts that several Istio resources share, smallest first. */
import {
  boolean,
  intOrString,
  integer,
  list,
  map,
  object,
  oneOf,
  required,
  string,
  type Rule,
} from './model.ts';

export const apiGroup = string({
  maxLength: 253,
  pattern: '^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$',
});

export const apiKind = string({
  minLength: 1,
  maxLength: 63,
  pattern: '^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$',
});

export const sha256 = string({ pattern: '(^$|^[a-f0-9]{64}$)' });

export const selectorPorts = list(
  object({
    number: required(integer({ minimum: 1, maximum: 65535 })),
  }),
  { listType: 'map', listMapKeys: ['number'] },
);

export const providers = list(
  object({
    name: required(string({ minLength: 1 })),
  }),
);

export const messageType = object({
  code: string(),
  name: string(),
});

export const environment = object({
  defaultValue: string(),
  name: required(string({ minLength: 1 })),
});

export const workloadSelector = object({
  labels: map(string(), { maxProperties: 256 }),
});

export const selector = object({
  matchLabels: map(string(), { maxProperties: 4096 }),
});

export const stringMatch = object(
  {
    exact: string(),
    prefix: string(),
    regex: string(),
  },
  { atMostOneOf: ['exact', 'prefix', 'regex'] },
);

export const tlsCertificate = object({
  caCertificates: string(),
  privateKey: string(),
  serverCertificate: string(),
});

export const corsOrigin = object({
  exact: string(),
  prefix: string(),
  regex: string(),
});

export const networkFilterMatch = object({
  name: string(),
  subFilter: object({
    name: string(),
  }),
});

export const wasmEnv = object({
  name: required(string({ minLength: 1, maxLength: 256 })),
  value: string({ maxLength: 2048 }),
  valueFrom: oneOf(['INLINE', 'HOST']),
});

export const wasmEnvs = list(wasmEnv, { maxItems: 256, listType: 'map', listMapKeys: ['name'] });

export const tlsCertificates = list(tlsCertificate, { minItems: 1, maxItems: 2 });

export const targetRef = object({
  group: apiGroup,
  kind: required(apiKind),
  name: required(string({ minLength: 1, maxLength: 253 })),
  namespace: string({
    rules: [{ rule: 'self.size() == 0', message: 'targets in other namespaces are not supported' }],
  }),
});

export const destination = object({
  host: required(string()),
  port: object({
    number: integer({ minimum: 0, maximum: 4294967295 }),
  }),
  subset: string(),
});

export const trafficSelector = object({
  mode: oneOf(['UNDEFINED', 'CLIENT', 'SERVER', 'CLIENT_AND_SERVER']),
  ports: selectorPorts,
});

export const servicePort = object({
  name: string(),
  number: integer({ minimum: 0, maximum: 4294967295 }),
  protocol: string(),
  targetPort: integer({ minimum: 0, maximum: 4294967295 }),
});

export const targetRefs = list(targetRef, { maxItems: 16 });

export const trafficSelectors = list(trafficSelector);

export const validationMessage = object({
  documentationUrl: string(),
  level: oneOf(['UNKNOWN', 'ERROR', 'WARNING', 'INFO']),
  type: messageType,
});

export const vmConfig = object({
  env: wasmEnvs,
});

export const validationMessages = list(validationMessage);

export const headerOperations = object({
  add: map(string()),
  remove: list(string()),
  set: map(string()),
});

export const routeDestination = object({
  destination: required(destination),
  weight: integer({ format: 'int32' }),
});

export const routeDestinations = list(routeDestination);

export const condition = object({
  lastProbeTime: string({ format: 'date-time' }),
  lastTransitionTime: string({ format: 'date-time' }),
  message: string(),
  observedGeneration: intOrString(),
  reason: string(),
  status: string(),
  type: string(),
});

export const conditions = list(condition);

const endpointFields = {
  address: string({ maxLength: 256 }),
  labels: map(string(), { maxProperties: 256 }),
  locality: string({ maxLength: 2048 }),
  network: string({ maxLength: 2048 }),
  ports: map(integer(), { maxProperties: 128 }),
  serviceAccount: string({ maxLength: 253 }),
  weight: integer({ minimum: 0, maximum: 4294967295 }),
};

/** A template of endpoints, each of which has an address of its own. */
export const workloadEndpointTemplate = object(endpointFields);

export const workloadEndpoint = object(endpointFields, {
  rules: [
    {
      rule: 'has(self.address) || has(self.network)',
      message: 'address is required unless network says where',
    },
  ],
});

/** A port that somebody can listen on. */
export const portNumber = integer({
  minimum: 0,
  maximum: 4294967295,
  rules: [{ rule: '0 < self && self <= 65535', message: 'must be a port from 1 to 65535' }],
});

/** A policy is for workloads by their labels or for targets by their names. */
export const oneSelection: Rule = {
  rule: '(has(self.selector) ? 1 : 0) + (has(self.targetRef) ? 1 : 0) + (has(self.targetRefs) ? 1 : 0) <= 1',
  message: 'only one of selector, targetRef and targetRefs can be set',
};

export const headers = object({
  request: headerOperations,
  response: headerOperations,
});

export const istioStatus = object(
  {
    conditions: conditions,
    observedGeneration: intOrString(),
    validationMessages: validationMessages,
  },
  { preserveUnknownFields: true },
);

export const serverTls = object({
  caCertCredentialName: string(),
  caCertificates: string(),
  caCrl: string(),
  cipherSuites: list(string()),
  credentialName: string(),
  credentialNames: list(string(), { minItems: 1, maxItems: 2 }),
  ecdhCurves: list(string()),
  httpsRedirect: boolean(),
  insecureSkipVerify: boolean({ nullable: true }),
  maxProtocolVersion: oneOf(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']),
  minProtocolVersion: oneOf(['TLS_AUTO', 'TLSV1_0', 'TLSV1_1', 'TLSV1_2', 'TLSV1_3']),
  mode: oneOf(['PASSTHROUGH', 'SIMPLE', 'MUTUAL', 'AUTO_PASSTHROUGH', 'ISTIO_MUTUAL', 'OPTIONAL_MUTUAL']),
  privateKey: string(),
  serverCertificate: string(),
  subjectAltNames: list(string()),
  tlsCertificates: tlsCertificates,
  verifyCertificateHash: list(string()),
  verifyCertificateSpki: list(string()),
});
