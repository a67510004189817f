import protobuf from 'protobufjs/minimal.js';
import type { Networking } from '../networking/networking-graph.ts';
import type { PodFacts } from '../sources/facts.ts';
import type { Sources } from '../sources/sources.ts';

/** What is wrong with the mesh as it is pushed, under the names of istiod's metrics. */
export interface PushFaults {
  /** Pods, as `namespace/name`. */
  readonly pilot_no_ip: readonly string[];
  readonly pilot_endpoint_not_ready: readonly string[];
  /** Clusters of waypoints. */
  readonly pilot_eds_no_instances: readonly string[];
}

export interface PushFaultsOptions {
  readonly sources: { readonly pods: Pick<Sources['pods'], 'entries'> };
  readonly networking: { readonly endpoints: Pick<Networking['endpoints'], 'values'> };
}

/** Looked for when somebody asks. */
export function pushFaults({ sources, networking }: PushFaultsOptions): PushFaults {
  const pods = (isFaulty: (pod: PodFacts) => boolean): readonly string[] => {
    const faulty: string[] = [];
    for (const [key, pod] of sources.pods.entries()) if (isLive(pod) && isFaulty(pod)) faulty.push(key);
    return faulty;
  };
  const empty: string[] = [];
  for (const { name, bytes } of networking.endpoints.values()) if (!hasEndpoints(bytes)) empty.push(name);
  return {
    pilot_no_ip: pods(({ addresses }) => addresses.length === 0),
    pilot_endpoint_not_ready: pods(({ addresses, healthy }) => addresses.length > 0 && !healthy),
    pilot_eds_no_instances: empty,
  };
}

/** What one list of `/debug/push_status` holds at most. */
const MAX_SHOWN = 1_000;

/** `/debug/push_status`, in istiod's shape: by metric, by what it concerns. */
export function pushStatus(options: PushFaultsOptions): Readonly<Record<string, unknown>> {
  const lists = Object.entries(pushFaults(options) as unknown as Record<string, readonly string[]>); // each is a list
  return Object.fromEntries(
    lists
      .filter(([, keys]) => keys.length > 0)
      .map(([metric, keys]) => [
        metric,
        Object.fromEntries(keys.slice(0, MAX_SHOWN).map((key) => [key, {}] as const)),
      ]),
  );
}

function isLive({ phase }: PodFacts): boolean {
  return phase !== 'Succeeded' && phase !== 'Failed';
}

/** Of ClusterLoadAssignment. */
const ENDPOINTS_FIELD = 2;

function hasEndpoints(bytes: Uint8Array): boolean {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    if (key >>> 3 === ENDPOINTS_FIELD) return true;
    reader.skipType(key & 7);
  }
  return false;
}
