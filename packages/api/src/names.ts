/** Names on the cluster are Istio's, so that kubectl habits, Kiali, istioctl and a Rust ztunnel's defaults hold. */

export const SYSTEM_NAMESPACE = 'istio-system';
export const DEFAULT_TRUST_DOMAIN = 'cluster.local';
export const DEFAULT_CLUSTER_DOMAIN = 'cluster.local';
export const DEFAULT_CLUSTER_ID = 'Kubernetes';

/** Audience of the projected service-account tokens that authenticate to xDS and to the CA. */
export const TOKEN_AUDIENCE = 'istio-ca';

export const Component = { controlPlane: 'istiod', ztunnel: 'ztunnel', cni: 'istio-cni-node' } as const;

/** ConfigMap with the mesh's root certificates, in every namespace. */
export const ROOT_CERT_CONFIGMAP = 'istio-ca-root-cert';
export const ROOT_CERT_KEY = 'root-cert.pem';
/** ConfigMap with what the plugged-in authority has revoked, beside it. */
export const CRL_CONFIGMAP = 'istio-ca-crl';
export const CRL_KEY = 'ca-crl.pem';
/** Secret that holds the self-signed certificate authority. */
export const CA_SECRET = 'istio-ca-secret';
export const CA_SECRET_TYPE = 'istio.io/ca-root';
/** Secret that exists while one certificate authority is replaced by another. */
export const CA_ROTATION_SECRET = 'weft-ca-rotation';
export const CA_ROTATION_SECRET_TYPE = 'weft.dev/ca-rotation';
export const MESH_CONFIGMAP = 'istio';

export const CniName = { plugin: 'istio-cni' } as const;

/** Paths inside the containers and on the node. */
export const Path = {
  zdsSocket: '/var/run/ztunnel/ztunnel.sock',
  meshConfig: '/etc/istio/config/mesh',
  cniPluginSocket: '/var/run/istio-cni/pluginevent.sock',
  cniLogSocket: '/var/run/istio-cni/log.sock',
  cniRunDir: '/var/run/istio-cni',
  rootCert: '/var/run/secrets/istio/root-cert.pem',
  token: '/var/run/secrets/tokens/istio-token',
} as const;

/** Field managers of server-side apply. */
export const FieldManager = {
  gatewayController: 'istio.io/gateway-controller',
  ambientService: 'istio-ambient-service',
  ambientWorkloadEntry: 'istio-ambient-workloadentry',
  addressAllocation: 'istio-ip-autoallocate',
  ztunnelPolicy: 'istio-ambient-ztunnel-policy',
  waypointPolicy: 'istio-ambient-waypoint-policy',
} as const;

/** Names of the policies that the control plane derives. */
export const DerivedPolicy = {
  staticStrict: 'istio_converted_static_strict',
  peerAuthenticationPrefix: 'converted_peer_authentication_',
  requireWaypointPrefix: 'weft_require_waypoint_',
  allowWaypointPrefix: 'istio_allow_waypoint_',
} as const;

export const GatewayClass = {
  waypoint: 'istio-waypoint',
  eastWest: 'istio-east-west',
  remote: 'istio-remote',
} as const;
export const GatewayController = {
  gateway: 'istio.io/gateway-controller',
  waypoint: 'istio.io/mesh-controller',
} as const;
/** Value of the label `gateway.istio.io/managed`: the controller's name in the form of a label. */
export const MANAGED_BY_MESH = 'istio.io-mesh-controller';
/** Protocol of a waypoint's listener. */
export const HBONE_PROTOCOL = 'HBONE';
/** Extension of a Service that has to be reached through its waypoint, and the label that asks for it. */
export const REQUIRE_WAYPOINT_EXTENSION = 'weft.dev/require-waypoint';
