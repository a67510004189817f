import { Port } from '@weft/api';
import { describeError, WeftError } from '@weft/telemetry';
import type { Demand } from '@weft/xds';
import type { ConnectionTable, OpenConnection } from './connection-table.ts';
import { baggageHeader, describePeer, readPeerHeaders, requestHeaders } from './peer-headers.ts';
import { learnOnDemand } from './on-demand.ts';
import type { PolicyGate } from './policy-gate.ts';
import { waitFor } from './wait-for.ts';
import type {
  ConnectionId,
  Order,
  OutboundQuestion,
  PlaintextQuestion,
  Question,
  ToControl,
  TunnelQuestion,
} from '../data/messages.ts';
import {
  decideInboundPlaintext,
  decideInboundTunnel,
  type InboundContext,
  type InboundPlan,
} from '../decide/inbound.ts';
import { decideOutbound, pickAddress, type Decided } from '../decide/outbound.ts';
import { sameNodePod } from '../decide/same-node.ts';
import { formatSocketAddress, type SocketAddress } from '../state/ip-address.ts';
import { encodeProxyHeader } from '../decide/proxy-header.ts';
import type { MeshState } from '../state/mesh-state.ts';
import { workloadIdentity, type Workload } from '../state/workload.ts';
import type { LocalPod } from '../state/workload-store.ts';
import type { OnDemandDnsMetric } from '../dns/dns-metrics.ts';
import type { HostnameResolver } from '../dns/hostname-resolver.ts';
import type { AccessLog } from '../telemetry/access-log.ts';
import type { ZtunnelMetrics } from '../telemetry/metrics.ts';
import type { PeerDescription, TrafficDescription } from '../telemetry/traffic-labels.ts';

export interface ControllerOptions {
  readonly state: MeshState;
  readonly network: string;
  readonly nodeName: string;
  readonly localhostAppTunnel: boolean;
  readonly socks5: boolean;
  readonly responseBaggage: boolean;
  readonly podOf: (uid: string) => LocalPod | undefined;
  /** The reverse, of pods to which bytes may be relayed in the process. */
  readonly podUidOf: (pod: LocalPod) => string | undefined;
  readonly connections: ConnectionTable;
  readonly gate: PolicyGate;
  readonly metrics: ZtunnelMetrics;
  /** Set if the state is what was asked for, not everything. */
  readonly demand: Demand | undefined;
  readonly hostnames: Pick<HostnameResolver, 'resolve'>;
  readonly onDemandDns: OnDemandDnsMetric;
  readonly log: AccessLog;
  readonly order: (connection: ConnectionId, order: Order) => void;
}

/** Answers the data threads: one question about each new connection. */
export class ConnectionController {
  private readonly options: ControllerOptions;
  private readonly inbound: InboundContext;
  /** Questions that wait for their pod to be known, and whether their connection has closed meanwhile. */
  private readonly waiting = new Map<ConnectionId, { isClosed: boolean }>();

  constructor(options: ControllerOptions) {
    this.options = options;
    const { state, network, localhostAppTunnel, socks5 } = options;
    this.inbound = { store: state.workloads, network, localhostAppTunnel, socks5 };
  }

  async onQuestion(question: Question): Promise<void> {
    const order = await this.answer(question);
    if (order !== undefined) this.options.order(question.connection, order);
  }

  onClosed({ connection, received, sent, failure }: Extract<ToControl, { kind: 'closed' }>): void {
    const waiting = this.waiting.get(connection);
    if (waiting !== undefined) waiting.isClosed = true;
    this.options.connections.closed(connection, received, sent, failure);
  }

  onInnerPeer({ connection, identity, baggage }: Extract<ToControl, { kind: 'inner-peer' }>): void {
    const description = this.options.responseBaggage ? describePeer(baggage) : undefined;
    this.options.connections.identified(connection, identity, description);
  }

  /** The pod's own workload, for which a new pod's first connections may have to wait. @throws WEFT1310 */
  async localWorkload(podUid: string): Promise<Workload> {
    const { state, podOf, nodeName } = this.options;
    const pod = podOf(podUid);
    const found = pod && (await waitFor(state, () => state.workloads.localWorkload(pod, nodeName)));
    if (found === undefined) {
      const name = pod === undefined ? podUid : `${pod.namespace}/${pod.name} (${pod.serviceAccount})`;
      throw new WeftError('WEFT1310', `pod ${name} is not known to the control plane`);
    }
    return found;
  }

  /** Undefined when nobody waits for it any more. */
  private async answer(question: Question): Promise<Order | undefined> {
    const waiting = { isClosed: false };
    this.waiting.set(question.connection, waiting);
    try {
      const open = await this.prepare(question).finally(() => this.waiting.delete(question.connection));
      // From here to its entry in the table nothing is awaited, so no closing can be missed.
      return waiting.isClosed ? undefined : await open();
    } catch (error) {
      return this.refuse(question, error);
    }
  }

  /** All that takes time: the pod itself may not be known yet, nor the address of where it wants to go. */
  private async prepare(question: Question): Promise<() => Order | Promise<Order>> {
    const local = await this.localWorkload(question.podUid);
    const { demand, state, network } = this.options;
    if (demand !== undefined) await learnOnDemand(demand, question, local, state.workloads, network);
    switch (question.kind) {
      case 'outbound': {
        const plan = await this.plan(question, local);
        return () => this.outbound(question, local, plan);
      }
      case 'inbound-tunnel':
        return () => this.tunnel(question, local);
      case 'inbound-plaintext':
        return () => this.plaintext(question, local);
    }
  }

  private async plan({ peer, destination }: OutboundQuestion, local: Workload): Promise<Decided> {
    const { state, network, hostnames, onDemandDns } = this.options;
    const plan = decideOutbound(
      { source: local, clientIp: peer.ip, destination },
      { store: state.workloads, network, socks5: this.options.socks5, random: Math.random },
    );
    if (plan.kind !== 'resolve') return plan;
    onDemandDns.count(local, plan.hostname);
    const addresses = await hostnames.resolve(plan.hostname);
    const ip = pickAddress(addresses, plan.preferredFamily, Math.random);
    if (ip === undefined) throw new WeftError('WEFT1319', `${plan.hostname} has no address`);
    return plan.at(ip);
  }

  private outbound(question: OutboundQuestion, local: Workload, plan: Decided): Order {
    const { network } = this.options;
    const { peer, destination } = question;
    if (plan.kind === 'refuse') throw new WeftError(plan.code, plan.reason);
    const isTunnel = plan.kind === 'tunnel';
    this.options.connections.opened({
      id: question.connection,
      podUid: question.podUid,
      local,
      direction: 'outbound',
      protocol: protocolOf(plan),
      source: peer,
      destination: plan.upstream,
      originalDestination: destination,
      hboneTarget: isTunnel ? plan.authority : undefined,
      forwardedHost: undefined,
      subject: undefined,
      traffic: outboundTraffic(local, plan),
    });
    if (plan.kind === 'tcp') return { kind: 'connect', upstream: plan.upstream };
    const headers = requestHeaders(local, peer, plan.service);
    const podUid = sameNodePod(plan, this.options);
    return {
      kind: 'tunnel',
      upstream: plan.upstream,
      authority: plan.authority,
      identity: workloadIdentity(local),
      acceptableIdentities: plan.acceptableIdentities,
      sourceIp: peer.ip,
      headers,
      ...(podUid === undefined ? {} : { sameNode: { podUid, sourceIps: local.addresses } }),
      ...(plan.innerIdentities && {
        inner: {
          acceptableIdentities: plan.innerIdentities,
          headers: [...headers, ['x-forwarded-network', network]],
        },
      }),
    };
  }

  private async tunnel(question: TunnelQuestion, local: Workload): Promise<Order> {
    const { network, responseBaggage } = this.options;
    const { peer, localIp, authority, headers, peerIdentity, relayOf } = question;
    if (relayOf !== undefined) this.options.connections.stayedLocal(relayOf);
    const { description, forwardedHost, network: peerNetwork } = readPeerHeaders(headers, responseBaggage);
    const plan = decideInboundTunnel(
      { local, localIp, peer, peerIdentity, authority, forwardedHost },
      this.inbound,
    );
    if (plan.kind === 'refuse') throw new Refusal(plan);
    // Behind an east-west gateway, the peer's address is the gateway's and says nothing of the client.
    const isFromGateway = peerNetwork !== undefined && peerNetwork.toLowerCase() !== network.toLowerCase();
    const connection = this.openInbound(question, local, plan, {
      protocol: relayOf === undefined ? 'HBONE' : 'LOCAL',
      sourceIdentity: peerIdentity,
      source: isFromGateway ? undefined : this.inbound.store.workloadAt(network, peer.ip),
      description,
      forwardedHost,
      destination: { ip: localIp, port: Port.hbone },
      hboneTarget: formatSocketAddress(plan.destination),
    });
    await this.options.gate.admit(connection);
    return {
      kind: 'connect',
      upstream: plan.upstream,
      ...(plan.bindSource === undefined ? {} : { bindSource: plan.bindSource }),
      ...(responseBaggage ? { responseHeaders: baggageHeader(local) } : {}),
      ...(plan.proxyHeader && { preamble: encodeProxyHeader(plan.proxyHeader) }),
    };
  }

  private async plaintext(question: PlaintextQuestion, local: Workload): Promise<Order> {
    const { network } = this.options;
    const { peer, destination } = question;
    const plan = decideInboundPlaintext({ local, peerIp: peer.ip, destination }, this.inbound);
    if (plan.kind === 'refuse') throw new Refusal(plan);
    const connection = this.openInbound(question, local, plan, {
      protocol: 'TCP',
      sourceIdentity: undefined,
      source: this.inbound.store.workloadAt(network, peer.ip),
      description: undefined,
      forwardedHost: undefined,
      destination,
      hboneTarget: undefined,
    });
    await this.options.gate.admit(connection);
    return {
      kind: 'connect',
      upstream: plan.upstream,
      ...(plan.bindSource && { bindSource: plan.bindSource }),
    };
  }

  /** Known to the table before policy is asked, so that no change of it can be missed in between. */
  private openInbound(
    { connection, podUid, peer }: TunnelQuestion | PlaintextQuestion,
    local: Workload,
    plan: Extract<InboundPlan, { kind: 'connect' }>,
    of: {
      readonly protocol: OpenConnection['protocol'];
      readonly sourceIdentity: string | undefined;
      readonly source: Workload | undefined;
      readonly description: PeerDescription | undefined;
      readonly forwardedHost: string | undefined;
      readonly destination: SocketAddress;
      readonly hboneTarget: string | undefined;
    },
  ): OpenConnection {
    const { sourceIdentity } = of;
    return this.options.connections.opened({
      id: connection,
      podUid,
      local,
      direction: 'inbound',
      protocol: of.protocol,
      source: peer,
      destination: of.destination,
      originalDestination: undefined,
      hboneTarget: of.hboneTarget,
      forwardedHost: of.forwardedHost,
      subject: {
        sourceIdentity,
        sourceIp: peer.ip,
        destinationIp: plan.destination.ip,
        destinationPort: plan.destination.port,
      },
      traffic: {
        reporter: 'destination',
        source: of.source,
        sourceBaggage: of.description,
        sourceIdentity,
        destination: local,
        destinationIdentity: workloadIdentity(local),
        service: plan.service,
        isMutualTls: sourceIdentity !== undefined,
      },
    });
  }

  private refuse(question: Question, error: unknown): Order {
    const { connections, metrics, log } = this.options;
    const failure = WeftError.is(error) ? error : new WeftError('WEFT1325', 'no decision', { cause: error });
    const isDenied = ['WEFT1402', 'WEFT1403', 'WEFT1404', 'WEFT1406'].includes(failure.code);
    const told = {
      code: failure.code,
      message: describeError(failure).replace(/^WEFT\d+ /, ''),
      flag: isDenied ? 'DENY' : 'CONNECT',
    } as const;
    if (connections.has(question.connection)) connections.closed(question.connection, 0, 0, told);
    else {
      const destination =
        question.kind === 'inbound-tunnel'
          ? { ip: question.localIp, port: Port.hbone }
          : question.destination;
      log.refused(question.kind === 'outbound' ? 'outbound' : 'inbound', question.peer, destination, told);
      metrics.errors.inc({ code: failure.code });
    }
    return { kind: 'refuse', status: isDenied ? 401 : failure instanceof Refusal ? failure.status : 503 };
  }
}

class Refusal extends WeftError {
  readonly status: number;
  constructor({ code, reason, status }: Extract<InboundPlan, { kind: 'refuse' }>) {
    super(code, reason);
    this.status = status;
  }
}

function protocolOf(plan: Exclude<Decided, { kind: 'refuse' }>): OpenConnection['protocol'] {
  if (plan.kind === 'tcp') return 'TCP';
  return plan.innerIdentities === undefined ? 'HBONE' : 'DOUBLEHBONE';
}

function outboundTraffic(local: Workload, plan: Exclude<Decided, { kind: 'refuse' }>): TrafficDescription {
  const isTunnel = plan.kind === 'tunnel';
  return {
    reporter: 'source',
    source: local,
    sourceIdentity: isTunnel ? workloadIdentity(local) : undefined,
    destination: plan.workload,
    // Inside a tunnel to another network, the answer tells who it is.
    destinationIdentity:
      protocolOf(plan) === 'DOUBLEHBONE' ? undefined : plan.workload && workloadIdentity(plan.workload),
    service: plan.service,
    isMutualTls: isTunnel,
  };
}
