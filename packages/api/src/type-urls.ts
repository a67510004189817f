const url = (name: string): string => `type.googleapis.com/${name}`;

/** Resource types of workload discovery. */
export const TypeUrl = {
  address: url('istio.workload.Address'),
  workload: url('istio.workload.Workload'),
  authorization: url('istio.security.Authorization'),
} as const;

/** Resource types that configure the L7 engine. */
export const EnvoyTypeUrl = {
  listener: url('envoy.config.listener.v3.Listener'),
  route: url('envoy.config.route.v3.RouteConfiguration'),
  cluster: url('envoy.config.cluster.v3.Cluster'),
  endpoint: url('envoy.config.endpoint.v3.ClusterLoadAssignment'),
  secret: url('envoy.extensions.transport_sockets.tls.v3.Secret'),
} as const;

export const ADS_METHOD = '/envoy.service.discovery.v3.AggregatedDiscoveryService/StreamAggregatedResources';
export const DELTA_ADS_METHOD =
  '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
export const CREATE_CERTIFICATE_METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
