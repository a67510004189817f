import { isIP } from 'node:net';
import type { envoy } from '@weft/api/envoy';
import type { SocketAddress } from '../../engine/types.ts';
import { compileMetadata } from '../../filters/message.ts';
import { at, invalid } from '../../matching/index.ts';
import type { EndpointSpec, HealthStatus, Locality } from '../host.ts';
import { DEFAULT_OVERPROVISIONING_PERCENT } from '../priority-load.ts';

type Assignment = envoy.config.endpoint.v3.ClusterLoadAssignment.$Properties;
type LocalityEndpoints = envoy.config.endpoint.v3.LocalityLbEndpoints.$Properties;
type LbEndpoint = envoy.config.endpoint.v3.LbEndpoint.$Properties;
type Address = envoy.config.core.v3.Address.$Properties;

/** A ClusterLoadAssignment, checked. */
export interface Endpoints {
  readonly specs: readonly EndpointSpec[];
  readonly overprovisioningPercent: number;
  /** Share of requests that are dropped before any host is chosen, 0 to 1, one after the other. */
  readonly dropOverloads: readonly number[];
}

export const noEndpoints: Endpoints = {
  specs: [],
  overprovisioningPercent: DEFAULT_OVERPROVISIONING_PERCENT,
  dropOverloads: [],
};

/** Hosts of one cluster; more reject the assignment. */
export const MAX_ENDPOINTS = 50_000;
const MAX_PRIORITY = 128;
const MAX_PORT = 65_535;
/** Whether a host's address must be an IP address (STATIC, EDS) or may be a name (DNS). */
export type AddressForm = 'ip' | 'name';

/** @throws InvalidValue with the path in the message */
export function compileEndpoints(assignment: Assignment, form: AddressForm = 'ip'): Endpoints {
  const localities = assignment.endpoints ?? [];
  const specs = localities.flatMap((locality, i) =>
    at(`endpoints[${i}]`, () => localityEndpoints(locality, form)),
  );
  if (specs.length > MAX_ENDPOINTS)
    invalid(`${specs.length} endpoints, at most ${MAX_ENDPOINTS}`, 'endpoints');
  const { overprovisioningFactor, dropOverloads } = assignment.policy ?? {};
  return {
    specs,
    overprovisioningPercent: overprovisioningFactor?.value ?? DEFAULT_OVERPROVISIONING_PERCENT,
    dropOverloads: (dropOverloads ?? []).map(({ dropPercentage }) => {
      const denominator = [100, 10_000, 1_000_000][dropPercentage?.denominator ?? 0] ?? 100;
      return Math.min(1, (dropPercentage?.numerator ?? 0) / denominator);
    }),
  };
}

function localityEndpoints(group: LocalityEndpoints, form: AddressForm): EndpointSpec[] {
  const priority = group.priority ?? 0;
  if (priority > MAX_PRIORITY) invalid(`at most ${MAX_PRIORITY}`, 'priority');
  const { region, zone, subZone } = group.locality ?? {};
  const locality = { region: region ?? '', zone: zone ?? '', subZone: subZone ?? '' };
  const list = group.loadBalancerEndpoints?.lbEndpoints ?? group.lbEndpoints ?? [];
  return list.map((endpoint, i) =>
    at(`lb_endpoints[${i}]`, () =>
      endpointSpec(
        endpoint,
        { locality, localityWeight: group.loadBalancingWeight?.value ?? undefined, priority },
        form,
      ),
    ),
  );
}

function endpointSpec(
  lb: LbEndpoint,
  place: {
    readonly locality: Locality;
    readonly localityWeight: number | undefined;
    readonly priority: number;
  },
  form: AddressForm,
): EndpointSpec {
  const weight = lb.loadBalancingWeight?.value ?? 1;
  if (weight < 1) invalid('must be at least 1', 'load_balancing_weight');
  const endpoint = lb.endpoint ?? {};
  return {
    ...place,
    address: at('endpoint.address', () => compileAddress(endpoint.address, form)),
    additionalAddresses: (endpoint.additionalAddresses ?? []).map((a, i) =>
      at(`endpoint.additional_addresses[${i}].address`, () => compileAddress(a.address, 'ip')),
    ),
    hostname: endpoint.hostname ?? '',
    metadata: compileMetadata(lb.metadata),
    weight,
    health: healthOf(lb.healthStatus ?? 0),
  };
}

export function compileAddress(address: Address | null | undefined, form: AddressForm): SocketAddress {
  switch (address?.address) {
    case 'socketAddress': {
      const { address: ip, portValue, protocol } = address.socketAddress ?? {};
      if ((protocol ?? 0) !== 0) invalid('only TCP is supported', 'socket_address.protocol');
      const port = portValue ?? 0;
      if (port > MAX_PORT) invalid(`at most ${MAX_PORT}`, 'socket_address.port_value');
      if (ip === null || ip === undefined || ip === '')
        return invalid('is required', 'socket_address.address');
      if (form === 'ip' && isIP(ip) === 0) {
        return invalid(`${JSON.stringify(ip)} is not an IP address`, 'socket_address.address');
      }
      return { kind: 'ip', ip, port };
    }
    case 'envoyInternalAddress': {
      const { serverListenerName, endpointId } = address.envoyInternalAddress ?? {};
      if (!serverListenerName) return invalid('is required', 'envoy_internal_address.server_listener_name');
      return { kind: 'internal', listener: serverListenerName, endpointId: endpointId ?? '' };
    }
    case 'pipe':
      return invalid('Unix sockets are not supported', 'pipe');
    default:
      return invalid('is required');
  }
}

function healthOf(status: number): HealthStatus {
  switch (status) {
    case 2: // UNHEALTHY
    case 4: // TIMEOUT
      return 'unhealthy';
    case 3:
      return 'draining';
    case 5:
      return 'degraded';
    default: // UNKNOWN means healthy
      return 'healthy';
  }
}
