import type { ErrorCode } from '@weft/telemetry';
import { endpointPort } from './load-balance.ts';
import { isIllegalPort } from './outbound.ts';
import type { ProxyHeader } from './proxy-header.ts';
import {
  formatSocketAddress,
  ipFamily,
  LOOPBACK_V4,
  LOOPBACK_V6,
  parseIp,
  splitAuthority,
  type IpAddress,
  type SocketAddress,
} from '../state/ip-address.ts';
import type { GatewayAddress, Service, Workload } from '../state/workload.ts';
import type { WorkloadStore } from '../state/workload-store.ts';

export interface InboundContext {
  readonly store: WorkloadStore;
  readonly network: string;
  /** Whether pods have a SOCKS listener. */
  readonly socks5?: boolean;
  /** LOCALHOST_APP_TUNNEL: PROXY tunnels end on the pod's loopback. */
  readonly localhostAppTunnel: boolean;
}

export interface TunnelRequest {
  /** The pod that the tunnel ended in. */
  readonly local: Workload;
  readonly localIp: IpAddress;
  readonly peer: SocketAddress;
  /** Proven by TLS. */
  readonly peerIdentity: string | undefined;
  readonly authority: string;
  /** `host` of the `forwarded` header: the service that the client addressed, by its own account. */
  readonly forwardedHost: string | undefined;
}

export type InboundPlan =
  | {
      readonly kind: 'connect';
      readonly upstream: SocketAddress;
      /** The client's address, to connect from where the kernel allows; undefined to use the own one. */
      readonly bindSource: IpAddress | undefined;
      /** What policies see as the destination. */
      readonly destination: SocketAddress;
      /** Told to the application before anything else. */
      readonly proxyHeader: ProxyHeader | undefined;
      /** For telemetry only. */
      readonly service: Service | undefined;
    }
  | {
      readonly kind: 'refuse';
      readonly status: 400 | 503;
      readonly code: ErrorCode;
      readonly reason: string;
    };

/** Decides what a CONNECT that arrived on 15008 is to be connected to. Policy is decided apart from it. */
export function decideInboundTunnel(request: TunnelRequest, context: InboundContext): InboundPlan {
  const { local, localIp, peer, authority, forwardedHost } = request;
  const target = splitAuthority(authority);
  if (target === undefined)
    return refuse(400, 'WEFT1320', `authority ${JSON.stringify(authority.slice(0, 256))}`);
  const targetIp = parseIp(target.host);
  if (targetIp !== undefined && !isDestinationAccepted(targetIp, request, context)) {
    return refuse(400, 'WEFT1321', `${authority} arrived at ${localIp}`);
  }
  const { store, network } = context;
  let { port } = target;
  // What the client addressed, as far as it is an address.
  let addressed = targetIp && { ip: targetIp, port };
  if (targetIp === undefined) {
    const service = store.serviceByHostname(target.host, local.namespace);
    if (service === undefined)
      return refuse(503, 'WEFT1322', `no service ${target.host.slice(0, 256)} is visible here`);
    const mapped = endpointPort(local, service, port);
    if (mapped === undefined) return refuse(503, 'WEFT1322', `service ${service.key} has no port ${port}`);
    const vip = virtualIp(service, network);
    addressed = vip && { ip: vip, port };
    port = mapped;
  }
  const tunnel = local.applicationTunnel;
  if (tunnel !== undefined && tunnel.port !== 0) port = tunnel.port;
  const destination = { ip: localIp, port };
  if (isIllegalPort(port, context))
    return refuse(503, 'WEFT1314', `${formatSocketAddress(destination)} is a port of the proxy`);
  const isProxied = tunnel?.protocol === 'PROXY';
  if (isProxied && addressed === undefined)
    return refuse(503, 'WEFT1324', `${target.host} has no address for the PROXY header`);
  const proxyHeader =
    isProxied && addressed !== undefined
      ? { source: peer, destination: addressed, sourceIdentity: request.peerIdentity }
      : undefined;
  // From there the kernel takes a source of the loopback, too.
  const ip = isProxied && context.localhostAppTunnel ? loopbackOf(localIp) : localIp;
  return {
    kind: 'connect',
    upstream: { ip, port },
    bindSource: ip === localIp ? bindableSource(peer.ip, localIp) : undefined,
    destination,
    proxyHeader,
    service: destinationService(store, local, port, forwardedHost),
  };
}

/** A plaintext connection that was on its way to the application. */
export function decideInboundPlaintext(
  request: { readonly local: Workload; readonly peerIp: IpAddress; readonly destination: SocketAddress },
  context: InboundContext,
): InboundPlan {
  const { local, peerIp, destination } = request;
  if (isIllegalPort(destination.port, context)) {
    return refuse(503, 'WEFT1314', `${formatSocketAddress(destination)} is a port of the proxy`);
  }
  return {
    kind: 'connect',
    upstream: destination,
    bindSource: bindableSource(peerIp, destination.ip),
    destination,
    proxyHeader: undefined,
    service: destinationService(context.store, local, destination.port, undefined),
  };
}

/** The client's own address is kept where a socket to the destination can have it, and isn't the pod's own. */
function bindableSource(peerIp: IpAddress, destinationIp: IpAddress): IpAddress | undefined {
  return peerIp === destinationIp || ipFamily(peerIp) !== ipFamily(destinationIp) ? undefined : peerIp;
}

function loopbackOf(ip: IpAddress): IpAddress {
  return ipFamily(ip) === 4 ? LOOPBACK_V4 : LOOPBACK_V6;
}

/** One of the service's addresses: of this network rather than others, IPv4 rather than IPv6. */
function virtualIp({ vips }: Service, network: string): IpAddress | undefined {
  const here = vips.filter((vip) => vip.network === network);
  const candidates = here.length > 0 ? here : vips;
  return (candidates.find(({ ip }) => ipFamily(ip) === 4) ?? candidates[0])?.ip;
}

/** A tunnel to this pod may ask for this pod, or for something that this pod is the waypoint of. */
function isDestinationAccepted(
  target: IpAddress,
  { local, localIp }: TunnelRequest,
  context: InboundContext,
): boolean {
  if (target === localIp || local.applicationTunnel !== undefined) return true;
  const owner = context.store.ownerOf(context.network, target, local.namespace);
  const waypoint = owner?.kind === 'service' ? owner.service.waypoint : owner?.workload.waypoint;
  return waypoint !== undefined && isWaypointHere(waypoint, local, localIp, context);
}

function isWaypointHere(
  { destination }: GatewayAddress,
  local: Workload,
  localIp: IpAddress,
  { store }: InboundContext,
): boolean {
  const owner =
    destination.kind === 'hostname'
      ? store.ownerOfHostname(destination.key)
      : store.ownerOf(destination.address.network, destination.address.ip, local.namespace);
  if (owner?.kind === 'workload') return owner.workload.addresses.includes(localIp);
  return owner !== undefined && store.isEndpoint(owner.service.key, local.uid);
}

/** The service that the client addressed, if the workload is in it; else the first with this port. */
function destinationService(
  store: WorkloadStore,
  local: Workload,
  port: number,
  forwardedHost: string | undefined,
): Service | undefined {
  let byPort: Service | undefined;
  for (const [key, mapping] of local.services) {
    const service = store.service(key);
    if (service === undefined) continue;
    if (service.hostname === forwardedHost) return service;
    const hasPort = [...mapping.values()].includes(port) || [...service.ports.values()].includes(port);
    if (hasPort) byPort ??= service;
  }
  return byPort;
}

function refuse(status: 400 | 503, code: ErrorCode, reason: string): InboundPlan {
  return { kind: 'refuse', status, code, reason };
}
