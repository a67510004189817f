import { TypeUrl } from '@weft/api';
import { istio } from '@weft/api/workload';
import grpc from '@grpc/grpc-js';
import { serverTrust } from '@weft/spiffe';
import { describeError, type Logger, type WeftError } from '@weft/telemetry';
import {
  DeltaClient,
  Subscription,
  structOf,
  terminationReason,
  type AnySubscription,
  type Demand,
  type Node,
} from '@weft/xds';
import { readRoots, readToken, type Config } from '../config.ts';
import { Interner } from '../state/interner.ts';
import type { AddressChange, MeshState, PolicyChange } from '../state/mesh-state.ts';
import { policyFromMessage } from '../state/policy-message.ts';
import { serviceFromMessage } from '../state/service-message.ts';
import { workloadFromMessage } from '../state/workload-message.ts';
import type { ZtunnelMetrics } from '../telemetry/metrics.ts';

const { Address } = istio.workload;
const { Authorization } = istio.security;

export interface MeshClientOptions {
  readonly config: Config;
  readonly address: string;
  readonly state: MeshState;
  readonly metrics: ZtunnelMetrics;
  readonly logger: Logger;
  /** Set if workloads and services are to be asked for one by one, as they are needed. */
  readonly demand: Demand | undefined;
  readonly signal: AbortSignal;
  readonly onReady: () => void;
  readonly onConnection: (connected: boolean, reason?: string) => void;
}

/** Feeds the state from the control plane until the signal aborts. */
export function startMeshClient(options: MeshClientOptions): DeltaClient {
  const { config, address, state, demand, metrics, logger, signal, onReady, onConnection } = options;
  const { xds } = config;
  return new DeltaClient({
    address,
    credentials: () =>
      address.startsWith('http://')
        ? grpc.credentials.createInsecure()
        : serverTrust({ rootsPem: readRoots(xds.root), alternativeHostname: xds.alternativeHostname }),
    headers: () => {
      const token = readToken(xds.token);
      const headers: [string, string][] = [...xds.headers, ['clusterid', config.clusterId]];
      // A header value can't end in a line break, as files do.
      if (token !== undefined) headers.push(['authorization', `Bearer ${token.trimEnd()}`]);
      return headers;
    },
    node: xdsNode(config),
    subscriptions: meshSubscriptions(state, demand, (left) => {
      metrics.errors.inc({ code: left.code });
      logger.warn(describeError(left), { code: left.code });
    }).map((subscription) => counted(subscription, metrics)),
    onReady,
    onConnection,
    onEnd: (ending) => metrics.xdsTerminations.inc({ reason: terminationReason(ending) }),
    signal,
    logger,
  });
}

/**
 * What ztunnel follows, in the order in which it asks; each push goes into the state.
 * @param onLeftOut told of conditions of policies that make no sense
 */
export function meshSubscriptions(
  state: MeshState,
  demand?: Demand,
  onLeftOut?: (left: WeftError) => void,
): readonly AnySubscription[] {
  const intern = new Interner();
  const addresses = new Subscription<AddressChange>(
    { typeUrl: TypeUrl.address, decode: (bytes, name) => addressChange(bytes, name, intern) },
    ({ upserted, removed }) => {
      const changes = upserted.map(({ resource }) => resource);
      state.applyAddresses([...removed.map((name) => ({ kind: 'removed', name }) as const), ...changes]);
    },
    demand,
  );
  const policies = new Subscription<PolicyChange>(
    {
      typeUrl: TypeUrl.authorization,
      decode: (bytes) => ({
        kind: 'policy',
        policy: policyFromMessage(Authorization.decode(bytes), onLeftOut),
      }),
    },
    ({ upserted, removed }) => {
      const changes = upserted.map(({ resource }) => resource);
      state.applyPolicies([...removed.map((name) => ({ kind: 'removed', name }) as const), ...changes]);
    },
  );
  return [addresses, policies];
}

function counted(
  subscription: AnySubscription,
  { xdsMessages, xdsMessageBytes }: ZtunnelMetrics,
): AnySubscription {
  const url = subscription.typeUrl;
  return {
    typeUrl: url,
    ...(subscription.demand && { demand: subscription.demand }),
    get acknowledged() {
      return subscription.acknowledged;
    },
    versions: () => subscription.versions(),
    receive: (frame, signal) => {
      xdsMessages.inc({ url });
      xdsMessageBytes.inc({ url }, frame.resourceBytes);
      return subscription.receive(frame, signal);
    },
  };
}

function addressChange(bytes: Uint8Array, name: string, intern: Interner): AddressChange {
  const { workload, service } = Address.decode(bytes);
  // One string for both: the client keeps the resource's name, the record its uid.
  if (workload?.uid === name) workload.uid = name;
  // protobufjs decodes nested messages to their classes; its types say only what can be passed in.
  if (workload)
    return { kind: 'workload', workload: workloadFromMessage(workload as istio.workload.Workload, intern) };
  if (service)
    return { kind: 'service', service: serviceFromMessage(service as istio.workload.Service, intern) };
  throw new Error('holds neither a workload nor a service');
}

/** How the control plane knows this proxy. */
export function xdsNode(config: Config): Node {
  const { instanceIp, podName, podNamespace, nodeName, nodeMetadata } = config;
  const metadata = new Map<string, unknown>([
    ['NAME', podName],
    ['NAMESPACE', podNamespace],
    ['INSTANCE_IPS', instanceIp],
    ['NODE_NAME', nodeName],
    ...nodeMetadata,
  ]);
  return {
    id: `ztunnel~${instanceIp}~${podName}.${podNamespace}~${podNamespace}.svc.cluster.local`,
    metadata: structOf(metadata),
  };
}
