const url = (name: string): string => `type.googleapis.com/${name}`;

/** Resource types of workload discovery. */
export const TypeUrl = {
  address: url('istio.workload.Address'),
  workload: url('istio.workload.Workload'),
  authorization: url('istio.security.Authorization'),
} as const;

export const DELTA_ADS_METHOD =
  '/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources';
export const CREATE_CERTIFICATE_METHOD = '/istio.v1.auth.IstioCertificateService/CreateCertificate';
