import { EnvoyTypeUrl, Label, TypeUrl } from '@weft/api';
import type { Collection, Graph } from '@weft/collections';
import { type Node, type ServedType, nodeMetadata } from '@weft/xds';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { bareWorkload } from '../ambient/resources.ts';
import type { Caller } from '../ca/token-authenticator.ts';
import type { Networking } from '../networking/networking-graph.ts';
import { clusterOfAssignment } from '../networking/names.ts';
import { ProxylessTypes } from '../proxyless/proxyless-types.ts';
import type { NamespaceFacts, PodFacts, ServiceFacts } from '../sources/facts.ts';
import { AddressDirectory } from './address-directory.ts';
import { AddressSource } from './address-source.ts';
import { CollectionSource } from './collection-source.ts';
import { WaypointSource } from './waypoint-source.ts';

export interface ServedTypesOptions {
  readonly graph: Graph;
  readonly ambient: Ambient;
  readonly networking: Networking;
  readonly namespaces: Collection<NamespaceFacts>;
  readonly pods: Collection<PodFacts>;
  readonly services: Collection<ServiceFacts>;
  readonly clusterDomain: string;
}

/** What each proxy is offered, by what it is. Sources are shared by proxies of the same kind. */
export class ServedTypes {
  private readonly options: ServedTypesOptions;
  private readonly workloads: readonly ServedType[];
  private readonly endpoints: ServedType;
  private readonly proxyless: ProxylessTypes;
  /** By waypoint; as many as there have been Gateways that a proxy asked for, whatever proxies call themselves. */
  private readonly waypoints = new Map<string, readonly ServedType[]>();

  constructor(options: ServedTypesOptions) {
    this.options = options;
    const { graph, ambient, networking, namespaces, services, clusterDomain } = options;
    const directory = new AddressDirectory(graph, ambient.addresses);
    // In the order of a push: a policy comes before the workloads that list it, and goes after them.
    this.workloads = [
      {
        source: new CollectionSource(TypeUrl.authorization, graph, ambient.authorizations),
        removals: 'last',
      },
      { source: new AddressSource(TypeUrl.address, graph, ambient.addresses, directory) },
      {
        source: new AddressSource(TypeUrl.workload, graph, ambient.workloads, directory, {
          view: bareWorkload,
        }),
      },
    ];
    const { workloads } = ambient;
    this.proxyless = new ProxylessTypes({ graph, namespaces, services, workloads, directory, clusterDomain });
    this.endpoints = {
      source: new CollectionSource(EnvoyTypeUrl.endpoint, graph, networking.endpoints),
      byNameOnly: true,
      completes: { typeUrl: EnvoyTypeUrl.cluster, named: clusterOfAssignment },
    };
  }

  of(node: Node, caller: Caller | undefined): readonly ServedType[] {
    if (nodeMetadata(node, 'GENERATOR') === 'grpc')
      return this.proxyless.for(namespaceOf(node, caller) ?? '');
    if (node.id?.startsWith('waypoint~') !== true) return this.workloads;
    const waypoint = waypointOfNode(node, caller, this.options.pods);
    return waypoint === undefined ? this.workloads : this.ofWaypoint(waypoint);
  }

  private ofWaypoint(waypoint: string): readonly ServedType[] {
    const known = this.waypoints.get(waypoint);
    if (known !== undefined) return known;
    const { graph, networking } = this.options;
    const source = (typeUrl: string, sets: Networking['listeners']): WaypointSource =>
      new WaypointSource(typeUrl, graph, sets, waypoint);
    const types: readonly ServedType[] = [
      // Make before break: what refers to a cluster comes after it, and goes before it.
      { source: source(EnvoyTypeUrl.cluster, networking.clusters), removals: 'last' },
      this.endpoints,
      { source: source(EnvoyTypeUrl.listener, networking.listeners) },
      ...this.workloads,
    ];
    if (networking.listeners.get(waypoint) !== undefined) this.waypoints.set(waypoint, types);
    return types;
  }
}

/**
 * Of which Gateway a proxy is an instance. Its pod says so; the token says which pod. Only a proxy that is not known
 * yet, or not authenticated, is believed what it says of its own labels, within its own namespace.
 */
function waypointOfNode(
  node: Node,
  caller: Caller | undefined,
  pods: Collection<PodFacts>,
): string | undefined {
  const namespace = namespaceOf(node, caller);
  if (namespace === undefined) return undefined;
  const podName = caller?.pod?.name ?? nodeMetadata(node, 'NAME');
  const labels = pods.get(`${namespace}/${podName ?? ''}`)?.labels ?? claimedLabels(node);
  const gateway = labels[Label.gatewayName];
  return gateway === undefined ? undefined : `${namespace}/${gateway}`;
}

function namespaceOf(node: Node, caller: Caller | undefined): string | undefined {
  return caller?.namespace ?? nodeMetadata(node, 'NAMESPACE');
}

function claimedLabels(node: Node): Readonly<Record<string, string>> {
  const fields = node.metadata?.fields?.['LABELS']?.structValue?.fields ?? {};
  return Object.fromEntries(Object.entries(fields).map(([label, value]) => [label, value.stringValue ?? '']));
}
