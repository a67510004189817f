/** Labels and annotations that Weft reads or writes, by the names Istio and Gateway API give them. */

export const Label = {
  /** `ambient` enrols a pod or a namespace; `none` opts a pod out. */
  dataplaneMode: 'istio.io/dataplane-mode',
  useWaypoint: 'istio.io/use-waypoint',
  useWaypointNamespace: 'istio.io/use-waypoint-namespace',
  waypointFor: 'istio.io/waypoint-for',
  useWaypointCanary: 'istio.io/use-waypoint-canary',
  useWaypointCanaryNamespace: 'istio.io/use-waypoint-canary-namespace',
  ingressUseWaypoint: 'istio.io/ingress-use-waypoint',
  revision: 'istio.io/rev',
  config: 'istio.io/config',
  tunnel: 'networking.istio.io/tunnel',
  network: 'topology.istio.io/network',
  subzone: 'topology.istio.io/subzone',
  region: 'topology.kubernetes.io/region',
  zone: 'topology.kubernetes.io/zone',
  workloadName: 'service.istio.io/workload-name',
  canonicalName: 'service.istio.io/canonical-name',
  canonicalRevision: 'service.istio.io/canonical-revision',
  appName: 'app.kubernetes.io/name',
  appVersion: 'app.kubernetes.io/version',
  gatewayName: 'gateway.networking.k8s.io/gateway-name',
  gatewayClassName: 'gateway.networking.k8s.io/gateway-class-name',
  gatewayManaged: 'gateway.istio.io/managed',
  gatewayDefaultsForClass: 'gateway.istio.io/defaults-for-class',
  serviceName: 'kubernetes.io/service-name',
  podTemplateHash: 'pod-template-hash',
  autoAllocateIp: 'networking.istio.io/enable-autoallocate-ip',
  requireWaypoint: 'weft.dev/require-waypoint',
} as const;

export const Annotation = {
  /** Written by the CNI agent once traffic really is redirected; the control plane reads it. */
  redirection: 'ambient.istio.io/redirection',
  bypassInboundCapture: 'ambient.istio.io/bypass-inbound-capture',
  dnsCapture: 'ambient.istio.io/dns-capture',
  rerouteVirtualInterfaces: 'istio.io/reroute-virtual-interfaces',
  sidecarStatus: 'sidecar.istio.io/status',
  trafficDistribution: 'networking.istio.io/traffic-distribution',
  dryRun: 'istio.io/dry-run',
  canaryWeight: 'istio.io/use-waypoint-canary-weight',
  /** On a WorkloadEntry that registered itself: the WorkloadGroup. */
  autoRegistrationGroup: 'istio.io/autoRegistrationGroup',
  connectStrategy: 'istio.io/connect-strategy',
  waypointInboundBinding: 'ambient.istio.io/waypoint-inbound-binding',
  gatewayNameOverride: 'gateway.istio.io/name-override',
  gatewayServiceAccount: 'gateway.istio.io/service-account',
  gatewayServiceType: 'networking.istio.io/service-type',
  gatewayControllerVersion: 'gateway.istio.io/controller-version',
} as const;

/** Conditions that Weft writes on pods. */
export const PodCondition = { captured: 'weft.dev/Captured' } as const;

/** Types of conditions of Services, ServiceEntries and WorkloadEntries. */
export const ServiceCondition = {
  waypointBound: 'istio.io/WaypointBound',
  waypointMissing: 'istio.io/WaypointMissing',
  visibilityApplied: 'istio.io/VisibilityApplied',
} as const;

export const DataplaneMode = { ambient: 'ambient', none: 'none' } as const;
export const Redirection = { enabled: 'enabled', pending: 'pending' } as const;

/** Values of {@link Label.useWaypoint} that are not names. */
export const NO_WAYPOINT = 'none';
