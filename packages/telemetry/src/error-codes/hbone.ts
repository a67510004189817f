import type { ErrorCodeTable } from '../errors.ts';

/** WEFT12xx. */
export const hboneErrors = {
  WEFT1201: {
    layer: 'hbone',
    title: 'A TLS handshake failed',
    next: 'Compare the root certificates and validity of both workloads: weft ztunnel-config certificate.',
  },
  WEFT1202: {
    layer: 'hbone',
    title: 'A client has no identity of the accepted trust domain',
    next: 'Check the trust domain in the mesh configuration of both clusters, and who connects to port 15008.',
  },
  WEFT1203: {
    layer: 'hbone',
    title: 'The server has none of the identities that the destination may have',
    next: 'Check the service account of the destination pod and whether its address was reused: weft ztunnel-config workload.',
  },
  WEFT1204: {
    layer: 'hbone',
    title: 'A peer broke the HTTP/2 protocol, and its connection was closed',
    next: 'Check who connects to port 15008; if it is a ztunnel or a waypoint, report both versions.',
  },
  WEFT1205: {
    layer: 'hbone',
    title: 'A tunnel could not be established in time',
    next: 'Check that network policies let TCP port 15008 pass between the nodes.',
  },
  WEFT1206: {
    layer: 'hbone',
    title: 'The destination refused the tunnel',
    next: '401: look for the denying policy on the destination. 503: the application does not accept. 400: the destination does not own the address.',
  },
  WEFT1207: {
    layer: 'hbone',
    title: 'The connection under a tunnel was lost',
    next: 'Check the node and the ztunnel of the other side; new connections are dialled anew.',
  },
  WEFT1208: {
    layer: 'hbone',
    title: 'A limit of tunnels or connections is reached',
    next: 'Look at the connections of the pod with weft ztunnel-config connections; raise the limit if the load is genuine.',
  },
  WEFT1209: {
    layer: 'hbone',
    title: 'The other side of a tunnel cannot be reached',
    next: 'Check that the destination pod runs, is in the mesh, and that network policies let TCP port 15008 pass.',
  },
  WEFT1210: {
    layer: 'hbone',
    title: 'A peer does not answer any more',
    next: 'Check the node and the network of the other side.',
  },
  WEFT1212: {
    layer: 'hbone',
    title: 'A tunnel was reset before it was established',
    next: 'Look at the log of the ztunnel of the destination.',
  },
  WEFT1213: {
    layer: 'hbone',
    title: 'The tunnels of this pod are closed',
    next: 'None: the pod left the mesh, or ztunnel is stopping.',
  },
  WEFT1214: {
    layer: 'hbone',
    title: 'An internal error closed a connection',
    next: 'Report it with the log line and its cause.',
  },
} as const satisfies ErrorCodeTable;
