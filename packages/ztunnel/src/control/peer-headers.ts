import { formatBaggage, formatForwarded, newTraceparent, parseBaggage, parseForwarded } from '@weft/hbone';
import type { HeaderList } from '../data/messages.ts';
import type { SocketAddress } from '../state/ip-address.ts';
import type { Service, Workload } from '../state/workload.ts';
import type { PeerDescription } from '../telemetry/traffic-labels.ts';

/** Headers of a CONNECT to another proxy, in the order of the reference. */
export function requestHeaders(
  source: Workload,
  client: SocketAddress,
  service: Service | undefined,
): HeaderList {
  return [
    ...baggageHeader(source),
    [
      'forwarded',
      formatForwarded({
        for: { address: client.ip, port: client.port },
        ...(service && { host: service.hostname }),
      }),
    ],
    ['traceparent', newTraceparent()],
  ];
}

/** Describes a workload to the other end; empty if there is nothing to say. */
export function baggageHeader(workload: Workload): HeaderList {
  const { clusterId, namespace, workloadType, workloadName, canonicalName, canonicalRevision, locality } =
    workload;
  const text = formatBaggage({
    clusterId,
    namespace,
    workloadType,
    workloadName,
    serviceName: canonicalName,
    serviceVersion: canonicalRevision,
    region: locality.region,
    zone: locality.zone,
  });
  return text === '' ? [] : [['baggage', text]];
}

export interface PeerHeaders {
  readonly description: PeerDescription | undefined;
  readonly forwardedHost: string | undefined;
  /** The network that an east-west gateway says the client is on. */
  readonly network: string | undefined;
}

export function readPeerHeaders(headers: HeaderList, isBaggageRead: boolean): PeerHeaders {
  const value = (name: string): string | undefined => headers.find(([n]) => n === name)?.[1];
  const forwarded = value('forwarded');
  return {
    description: isBaggageRead ? describePeer(value('baggage')) : undefined,
    forwardedHost: forwarded === undefined ? undefined : nameOf(parseForwarded(forwarded)?.host),
    network: value('x-forwarded-network'),
  };
}

/** Of DNS, and so of Kubernetes. Peers' words are kept as long as their connections, and in labels of metrics longer. */
const MAX_NAME_LENGTH = 253;

function nameOf(text: string | undefined): string | undefined {
  return text !== undefined && text.length <= MAX_NAME_LENGTH ? text : undefined;
}

/** What a peer's `baggage` says of it. */
export function describePeer(baggage: string | undefined): PeerDescription | undefined {
  if (baggage === undefined) return undefined;
  const parsed = parseBaggage(baggage);
  return {
    workloadName: nameOf(parsed.workloadName),
    namespace: nameOf(parsed.namespace),
    canonicalName: nameOf(parsed.serviceName),
    canonicalRevision: nameOf(parsed.serviceVersion),
    clusterId: nameOf(parsed.clusterId),
    region: nameOf(parsed.region),
    zone: nameOf(parsed.zone),
  };
}
