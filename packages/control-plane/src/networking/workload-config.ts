import { envoy } from '@weft/api/envoy';
import type { AuthorizationPolicySpec, PolicyObject } from '../sources/policy-objects.ts';
import type { WaypointSettings } from '../ambient/waypoint-settings.ts';
import { NO_LIMIT, extension } from './any.ts';
import type { FindProvider } from './external-authorization.ts';
import { httpChain, tcpChain } from './filter-chains.ts';
import { Name, State } from './names.ts';
import { shared } from './shared-listeners.ts';

type FilterChain = envoy.config.listener.v3.FilterChain.$Properties;
type Filter = envoy.config.listener.v3.Filter.$Properties;

const { FilterStateValue } = envoy.extensions.filters.common.set_filter_state.v3;
const networkSetState = envoy.extensions.filters.network.set_filter_state.v3.Config;

/** A workload whose own addresses are served by a waypoint. */
export interface ServedWorkload {
  readonly waypoint: string;
  readonly addresses: readonly string[];
  /** With scheme; undefined where it isn't reached by tunnel, and so not verified. */
  readonly identity: string | undefined;
}

/** Workloads of one identity: they share chains, and whoever answers has to be them. */
export interface WorkloadGroup {
  readonly addresses: readonly string[];
  readonly httpChain: FilterChain;
  readonly tcpChain: FilterChain;
}

export function workloadGroups(
  workloads: readonly ServedWorkload[],
  authorization: readonly PolicyObject<AuthorizationPolicySpec>[],
  provider: FindProvider,
  settings: WaypointSettings,
): WorkloadGroup[] {
  // An address has one chain: of those who claim it a verified workload's goes first, then the first by name.
  const identityOf = new Map<string, string>();
  for (const { identity = '', addresses } of workloads) {
    for (const address of addresses) {
      const known = identityOf.get(address) ?? '';
      if (known === '' || (identity !== '' && identity < known)) identityOf.set(address, identity);
    }
  }
  const byIdentity = new Map<string, string[]>();
  for (const [address, identity] of identityOf) {
    const group = byIdentity.get(identity);
    if (group === undefined) byIdentity.set(identity, [address]);
    else group.push(address);
  }
  return [...byIdentity]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([identity, addresses]) => ({
      addresses: addresses.sort(),
      ...chains(identity === '' ? undefined : identity, authorization, provider, settings),
    }));
}

function chains(
  identity: string | undefined,
  authorization: readonly PolicyObject<AuthorizationPolicySpec>[],
  provider: FindProvider,
  settings: WaypointSettings,
): Pick<WorkloadGroup, 'httpChain' | 'tcpChain'> {
  const cluster = identity === undefined ? Name.passthrough : Name.encap;
  const suffix = identity === undefined ? '' : `|${identity}`;
  const destination = identity === undefined ? [] : [tunnelTo(identity)];
  const http = httpChain({
    cluster,
    port: 0,
    routes: [{ name: 'default', match: { prefix: '/' }, route: { cluster, timeout: NO_LIMIT } }],
    authorization,
    authentication: [],
    jwks: () => undefined,
    provider,
    settings,
  });
  const tcp = tcpChain({ cluster, authorization, settings });
  return {
    httpChain: { name: `direct-http${suffix}`, filters: [...destination, ...(http.filters ?? [])] },
    tcpChain: { name: `direct-tcp${suffix}`, filters: [...destination, ...(tcp.filters ?? [])] },
  };
}

/** Where the tunnel goes, which only the connection knows, and who has to be there. */
function tunnelTo(identity: string): Filter {
  const { TRANSITIVE } = FilterStateValue.SharedWithUpstream;
  return extension('connect_authority', networkSetState, {
    onNewConnection: [
      shared(State.originalDestination, `%FILTER_STATE(${State.connectAuthority}:PLAIN)%`),
      { ...shared(State.upstreamSubjectNames, identity), sharedWithUpstream: TRANSITIVE },
    ],
  });
}
