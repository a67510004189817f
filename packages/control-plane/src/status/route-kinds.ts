import { resources } from '@weft/kubernetes';
import type { GatewayGraph } from '../gateway/gateway-graph.ts';
import { grpcRouteFacts, httpRouteFacts, unservedRouteFacts } from '../sources/gateway-objects.ts';
import type { Sources } from '../sources/sources.ts';
import type { RouteKind } from './route-status-writer.ts';

/** The kinds of routes whose statuses are ours to write. */
export function routeKinds(sources: Sources, { routeParents }: GatewayGraph): readonly RouteKind[] {
  return [
    {
      type: resources.httpRoutes,
      routes: sources.httpRoutes,
      facts: httpRouteFacts,
      parents: routeParents.HTTPRoute,
    },
    {
      type: resources.grpcRoutes,
      routes: sources.grpcRoutes,
      facts: grpcRouteFacts,
      parents: routeParents.GRPCRoute,
    },
    {
      type: resources.tcpRoutes,
      routes: sources.tcpRoutes,
      facts: unservedRouteFacts('TCPRoute'),
      parents: routeParents.TCPRoute,
    },
    {
      type: resources.tlsRoutes,
      routes: sources.tlsRoutes,
      facts: unservedRouteFacts('TLSRoute'),
      parents: routeParents.TLSRoute,
    },
    {
      type: resources.udpRoutes,
      routes: sources.udpRoutes,
      facts: unservedRouteFacts('UDPRoute'),
      parents: routeParents.UDPRoute,
    },
  ];
}
