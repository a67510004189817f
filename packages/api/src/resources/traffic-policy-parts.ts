/** Parts of a traffic policy: how connections to a host are made and kept, and to whom of it they go. */
import { boolean, integer, list, map, number, object, oneOf, required, string } from './model.ts';

const failover = object({
  from: string(),
  to: string(),
});

const http2KeepAlive = object({
  interval: string(),
  timeout: string(),
});

const attribute = object({
  name: required(string()),
  value: string(),
});

const failovers = list(failover);

const attributes = list(attribute);

const warmup = object({
  aggression: number({ minimum: 0, format: 'double', nullable: true }),
  duration: required(string()),
  minimumPercent: number({ minimum: 0, maximum: 100, format: 'double', nullable: true }),
});

const retryBudget = object({
  budgetInterval: string(),
  minRetryConcurrency: integer({ minimum: 0, maximum: 4294967295 }),
  percent: number({ minimum: 0, maximum: 100, format: 'double', nullable: true }),
});

const distribute = object({
  from: string(),
  to: map(integer()),
});

const tcpKeepalive = object({
  interval: string(),
  probes: integer({ minimum: 0, maximum: 4294967295 }),
  time: string(),
});

const tunnel = object({
  protocol: string(),
  targetHost: required(string()),
  targetPort: required(integer({ minimum: 0, maximum: 4294967295 })),
});

const distributes = list(distribute);

const backendUtilization = object({
  errorUtilizationPenaltyPercent: integer({ minimum: 0, maximum: 4294967295 }),
  metricNamesForComputingUtilization: list(string()),
  weightExpirationPeriod: string(),
  weightStabilizationPeriod: string(),
  weightUpdatePeriod: string(),
});

const httpCookie = object({
  attributes: attributes,
  name: required(string()),
  path: string(),
  ttl: string(),
});

const tcpPool = object({
  connectTimeout: string(),
  idleTimeout: string(),
  maxConnectionDuration: string(),
  maxConnections: integer({ format: 'int32' }),
  tcpKeepalive: tcpKeepalive,
});

const zoneAwareLbSetting = object({
  enabled: boolean({ nullable: true }),
  failover: failovers,
  failoverPriority: list(string()),
  minClusterSize: integer({ minimum: 1, maximum: 4294967295, nullable: true }),
});

const clientTls = object({
  caCertificates: string(),
  caCrl: string(),
  clientCertificate: string(),
  credentialName: string(),
  insecureSkipVerify: boolean({ nullable: true }),
  mode: oneOf(['DISABLE', 'SIMPLE', 'MUTUAL', 'ISTIO_MUTUAL']),
  privateKey: string(),
  sni: string(),
  subjectAltNames: list(string()),
});

const outlierDetection = object({
  baseEjectionTime: string(),
  consecutive5xxErrors: integer({ minimum: 0, maximum: 4294967295, nullable: true }),
  consecutiveErrors: integer({ format: 'int32' }),
  consecutiveGatewayErrors: integer({ minimum: 0, maximum: 4294967295, nullable: true }),
  consecutiveLocalOriginFailures: integer({ minimum: 0, maximum: 4294967295, nullable: true }),
  interval: string(),
  maxEjectionPercent: integer({ format: 'int32' }),
  minHealthPercent: integer({ format: 'int32' }),
  outlierDetectionHttpErrorCodes: list(integer({ minimum: 100, maximum: 599 })),
  splitExternalLocalOriginErrors: boolean(),
});

const httpPool = object({
  h2UpgradePolicy: oneOf(['DEFAULT', 'DO_NOT_UPGRADE', 'UPGRADE']),
  http1MaxPendingRequests: integer({ format: 'int32' }),
  http2KeepAlive: http2KeepAlive,
  http2MaxRequests: integer({ format: 'int32' }),
  idleTimeout: string(),
  maxConcurrentStreams: integer({ format: 'int32' }),
  maxRequestsPerConnection: integer({ format: 'int32' }),
  maxRetries: integer({ format: 'int32' }),
  useClientProtocol: boolean(),
});

const localityLbSetting = object({
  distribute: distributes,
  enabled: boolean({ nullable: true }),
  failover: failovers,
  failoverPriority: list(string()),
});

const consistentHash = object({
  httpCookie: httpCookie,
  httpHeaderName: string(),
  httpQueryParameterName: string(),
  maglev: object({
    tableSize: integer({ minimum: 0 }),
  }),
  minimumRingSize: integer({ minimum: 0 }),
  ringHash: object({
    minimumRingSize: integer({ minimum: 0 }),
  }),
  useSourceIp: boolean(),
});

export const connectionPool = object({
  http: httpPool,
  tcp: tcpPool,
});

const loadBalancer = object(
  {
    backendUtilization: backendUtilization,
    consistentHash: consistentHash,
    localityLbSetting: localityLbSetting,
    simple: oneOf(['UNSPECIFIED', 'LEAST_CONN', 'RANDOM', 'PASSTHROUGH', 'ROUND_ROBIN', 'LEAST_REQUEST']),
    warmup: warmup,
    warmupDurationSecs: string(),
    zoneAwareLbSetting: zoneAwareLbSetting,
  },
  { atMostOneOf: ['simple', 'consistentHash', 'backendUtilization'] },
);

const portLevelSetting = object({
  connectionPool: connectionPool,
  loadBalancer: loadBalancer,
  outlierDetection: outlierDetection,
  port: object({
    number: integer({ minimum: 0, maximum: 4294967295 }),
  }),
  tls: clientTls,
});

const portLevelSettings = list(portLevelSetting, { maxItems: 4096 });

export const trafficPolicy = object({
  connectionPool: connectionPool,
  loadBalancer: loadBalancer,
  outlierDetection: outlierDetection,
  portLevelSettings: portLevelSettings,
  proxyProtocol: object({
    version: oneOf(['V1', 'V2']),
  }),
  retryBudget: retryBudget,
  tls: clientTls,
  tunnel: tunnel,
});
