import type { ErrorCodeTable } from '../errors.ts';

/** WEFT13xx. */
export const ztunnelErrors = {
  WEFT1301: {
    layer: 'workload discovery',
    title: 'A workload from the control plane makes no sense',
    next: 'Report it to whoever runs the control plane; the last good version stays in use.',
  },
  WEFT1302: {
    layer: 'workload discovery',
    title: 'A service from the control plane makes no sense',
    next: 'Report it to whoever runs the control plane; the last good version stays in use.',
  },
  WEFT1310: {
    layer: 'outbound',
    title: 'The pod is not known to the control plane',
    next: 'See with `weft ztunnel-config workload` whether the pod is there, and whether istiod is reachable.',
  },
  WEFT1311: {
    layer: 'outbound',
    title: 'The service has no healthy endpoint',
    next: 'See with `kubectl get endpointslices` whether the pods of the service are ready.',
  },
  WEFT1312: {
    layer: 'outbound',
    title: 'The destination is on another network, which cannot be reached',
    next: 'Reach it by a service; multi-network traffic needs an east-west gateway.',
  },
  WEFT1313: {
    layer: 'outbound',
    title: 'The waypoint of the destination cannot be resolved',
    next: 'See with `weft ztunnel-config service` whether the waypoint named there exists and has a ready pod.',
  },
  WEFT1314: {
    layer: 'outbound',
    title: 'A connection to a port of the proxy itself was refused',
    next: 'Ports 15001, 15006 and 15008 belong to the mesh; use the port of the application.',
  },
  WEFT1315: {
    layer: 'outbound',
    title: 'The upstream connection failed',
    next: 'See whether the destination listens on that port, and whether a NetworkPolicy blocks it.',
  },
  WEFT1316: {
    layer: 'outbound',
    title: 'The tunnel to the destination could not be opened',
    next: 'See the ztunnel log of the destination node, and whether a NetworkPolicy blocks port 15008.',
  },
  WEFT1317: {
    layer: 'outbound',
    title: 'The service may only be reached through its waypoint, which is not there',
    next: 'See with `weft waypoint status` why the waypoint is not ready; the label weft.dev/require-waypoint=false on the Service lets traffic go without.',
  },
  WEFT1318: {
    layer: 'identity',
    title: 'The certificate of a workload is not available',
    next: 'See with `weft ztunnel-config certificate` what the certificate authority answered.',
  },
  WEFT1319: {
    layer: 'outbound',
    title: 'The host name of an endpoint cannot be resolved',
    next: 'Check that the nameservers in ztunnel’s /etc/resolv.conf know the name; a ServiceEntry with addresses needs none.',
  },
  WEFT1320: {
    layer: 'inbound',
    title: 'A tunnel request is malformed',
    next: 'Something other than a mesh proxy connects to port 15008; the message names its address.',
  },
  WEFT1321: {
    layer: 'inbound',
    title: 'A tunnel request is for an address that this pod does not serve',
    next: 'Usually a pod address was reused and the sender had not heard of it yet; it retries.',
  },
  WEFT1322: {
    layer: 'inbound',
    title: 'The service or port that a tunnel request names is not known here',
    next: 'See with `weft ztunnel-config service` whether the destination knows the service and its port.',
  },
  WEFT1323: {
    layer: 'inbound',
    title: 'A TLS handshake on port 15008 failed',
    next: 'Something without a certificate of the mesh connects there, or its certificate has expired.',
  },
  WEFT1324: {
    layer: 'inbound',
    title: 'The pod wants a PROXY protocol header, which cannot name the destination',
    next: 'Give the service that the client names an address, or address it by one.',
  },
  WEFT1325: {
    layer: 'relay',
    title: 'A connection ended with an error',
    next: 'One of its two ends reset it or went away; the log line names both.',
  },
  WEFT1326: {
    layer: 'relay',
    title: 'A connection was refused because the proxy is at its limit of connections',
    next: 'Find the pod with the most connections with `weft ztunnel-config connections`.',
  },
  WEFT1327: {
    layer: 'relay',
    title: 'A connection was cut because its pod left the mesh',
    next: 'Nothing to do: the pod was deleted or lost its label, and connections of before would be in the clear.',
  },
  WEFT1330: {
    layer: 'pods',
    title: 'The listeners of a pod could not be opened',
    next: 'Another proxy may hold ports 15001, 15006 or 15008 in the pod; it is tried again every 5 seconds.',
  },
  WEFT1331: {
    layer: 'pods',
    title: 'The CNI agent broke the protocol',
    next: 'See that the versions of the CNI agent and of ztunnel fit together.',
  },
  WEFT1332: {
    layer: 'pods',
    title: 'There is no connection to the CNI agent',
    next: 'See that the pods of the DaemonSet istio-cni-node are running; enrolled pods go on meanwhile.',
  },
  WEFT1340: {
    layer: 'process',
    title: 'A data thread failed',
    next: 'Its connections are lost and a new one has been started; report the message as a defect.',
  },
  WEFT1343: {
    layer: 'process',
    title: 'The fast engine can’t be used here',
    next: 'Nothing, with ZTUNNEL_ENGINE=auto: the portable engine does its work. The cause says what is missing, for example a build of node that hides its OpenSSL.',
  },
  WEFT1344: {
    layer: 'process',
    title: 'The fast engine failed repeatedly and was given up',
    next: 'New data threads have the portable engine until the next start; report the causes, which are logged with WEFT1340, as a defect.',
  },
  WEFT1342: {
    layer: 'process',
    title: 'There is no connection to the control plane',
    next: 'See that istiod runs and XDS_ADDRESS reaches it; what ztunnel knows stays in force meanwhile.',
  },
  WEFT1341: {
    layer: 'process',
    title: 'The drain deadline passed with connections still open',
    next: 'Raise terminationGracePeriodSeconds of the ztunnel chart if they must end by themselves.',
  },
  WEFT1350: {
    layer: 'DNS',
    title: 'No nameserver answered a query that was forwarded',
    next: 'Check that the nameservers in ztunnel’s /etc/resolv.conf answer, and that no NetworkPolicy keeps the pod from them.',
  },
  WEFT1351: {
    layer: 'DNS',
    title: 'A DNS query was refused because too many are pending',
    next: 'Find the pod that asks so much with istio_dns_requests_total, or the nameserver that is slow with istio_dns_upstream_request_duration_seconds.',
  },
  WEFT1352: {
    layer: 'DNS',
    title: 'A DNS listener of a pod failed',
    next: 'Restart the ztunnel of the node if names do not resolve in the pod; report the message as a defect.',
  },
} as const satisfies ErrorCodeTable;
