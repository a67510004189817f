import { GatewayController } from '@weft/api';
import { resources } from '@weft/kubernetes';
import type { GatewayGraph } from '../gateway/gateway-graph.ts';
import {
  type RouteParentStatus,
  backendTlsPolicyFacts,
  grpcRouteFacts,
  httpRouteFacts,
  unservedRouteFacts,
} from '../sources/gateway-objects.ts';
import type { Sources } from '../sources/sources.ts';
import type { RouteKind } from './route-status-writer.ts';

/** The kinds whose statuses speak of parents or ancestors, of which some are ours. */
export function routeKinds(sources: Sources, gateways: GatewayGraph): readonly RouteKind[] {
  const { routeParents, backendTlsAncestors } = gateways;
  const ofRoutes = {
    controllerName: GatewayController.gateway,
    status: (parents: readonly RouteParentStatus[]) => ({ parents }),
  };
  return [
    {
      ...ofRoutes,
      type: resources.httpRoutes,
      routes: sources.httpRoutes,
      facts: httpRouteFacts,
      parents: routeParents.HTTPRoute,
    },
    {
      ...ofRoutes,
      type: resources.grpcRoutes,
      routes: sources.grpcRoutes,
      facts: grpcRouteFacts,
      parents: routeParents.GRPCRoute,
    },
    {
      ...ofRoutes,
      type: resources.tcpRoutes,
      routes: sources.tcpRoutes,
      facts: unservedRouteFacts('TCPRoute'),
      parents: routeParents.TCPRoute,
    },
    {
      ...ofRoutes,
      type: resources.tlsRoutes,
      routes: sources.tlsRoutes,
      facts: unservedRouteFacts('TLSRoute'),
      parents: routeParents.TLSRoute,
    },
    {
      ...ofRoutes,
      type: resources.udpRoutes,
      routes: sources.udpRoutes,
      facts: unservedRouteFacts('UDPRoute'),
      parents: routeParents.UDPRoute,
    },
    {
      type: resources.backendTlsPolicies,
      routes: sources.backendTlsPolicies,
      facts: backendTlsPolicyFacts,
      parents: backendTlsAncestors,
      controllerName: GatewayController.waypoint,
      status: (parents) => ({
        ancestors: parents.map(({ parentRef, ...rest }) => ({ ancestorRef: parentRef, ...rest })),
      }),
    },
  ];
}
