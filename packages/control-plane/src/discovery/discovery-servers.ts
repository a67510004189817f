import grpc from '@grpc/grpc-js';
import { type Logger, type WeftError, describeError } from '@weft/telemetry';
import {
  type ConnectionStatus,
  DeltaServer,
  type Node,
  type ServedType,
  deltaServerChannelOptions,
} from '@weft/xds';
import type { ChangeSet } from '@weft/collections';
import { type CallerAuthenticator, addressOfPeer } from '../ca/caller-authenticator.ts';
import { type CertificateService, certificateServiceDefinition } from '../ca/certificate-service.ts';
import type { MeshAuthority } from '../ca/mesh-authority.ts';
import type { ServingCertificates } from '../ca/serving-certificate.ts';
import type { Caller } from '../ca/token-authenticator.ts';
import type { ControlPlaneConfig } from '../config.ts';
import { isLoopback } from '../debug/access.ts';
import type { ControlPlaneMetrics } from '../metrics.ts';
import { Http2Listener, type Http2ListenerOptions } from './http2-listener.ts';
import { authenticateProxy, checkNode } from './proxy-identity.ts';
import { ServedTypes, type ServedTypesOptions } from './served-types.ts';

export interface DiscoveryOptions extends ServedTypesOptions {
  readonly config: Pick<ControlPlaneConfig, 'ports' | 'debounce' | 'xds' | 'version'>;
  readonly authenticator: CallerAuthenticator;
  readonly authority: Pick<MeshAuthority, 'rootsPem' | 'crlPem' | 'subscribe'>;
  readonly certificates: ServingCertificates;
  readonly certificateService: CertificateService;
  readonly metrics: ControlPlaneMetrics;
  readonly logger: Logger;
  readonly systemNamespace: string;
  /** What operators may ask over xDS. */
  readonly debugTypes: () => readonly ServedType[];
}

const CONNECTION_AGE_GRACE_MS = 10_000;

/**
 * xDS and the CA on the TLS port; xDS alone, for whoever asks, on the plaintext port, as in Istio. Nobody is answered
 * before the graph has been computed for the first time.
 */
export class DiscoveryServers {
  private readonly secure: grpc.Server;
  private readonly plaintext: grpc.Server;
  private readonly discovery: readonly { connections(): readonly ConnectionStatus[]; close(): void }[];
  private readonly listeners: { readonly xds: Http2Listener; readonly plaintextXds: Http2Listener };
  private readonly options: DiscoveryOptions;
  private readonly served: ServedTypes;

  constructor(options: DiscoveryOptions) {
    this.options = options;
    const { config, authenticator, certificateService } = options;
    const { maxConnectionAgeMs, authentication, identityCheck } = config.xds;
    const channelOptions = {
      ...deltaServerChannelOptions,
      // Spreads proxies over replicas that were added later.
      'grpc.max_connection_age_ms': maxConnectionAgeMs,
      'grpc.max_connection_age_grace_ms': CONNECTION_AGE_GRACE_MS,
    };
    this.served = new ServedTypes(options);
    const { served } = this;
    const debug = options.debugTypes();
    const authenticated = new DeltaServer<Caller | undefined>({
      ...this.common('tls'),
      types: (node, caller) => [
        ...served.of(node, caller),
        ...(caller?.namespace === options.systemNamespace ? debug : []),
      ],
      authenticate: (peer) =>
        authentication ? authenticateProxy(authenticator, peer) : Promise.resolve(undefined),
      authorize: (caller, node) => {
        if (caller !== undefined && identityCheck) checkNode(caller, node);
      },
    });
    // Nobody shows who he is here; `kubectl port-forward` comes from this machine.
    const anonymous = new DeltaServer<{ readonly isLocal: boolean }>({
      ...this.common('plaintext'),
      types: (node, { isLocal }) => [...served.of(node, undefined), ...(isLocal ? debug : [])],
      authenticate: ({ address }) => Promise.resolve({ isLocal: isLoopback(addressOfPeer(address)) }),
    });
    this.discovery = [authenticated, anonymous];
    options.graph.subscribe((changes) => this.countChanges(changes));
    this.secure = new grpc.Server(channelOptions);
    authenticated.addTo(this.secure);
    this.secure.addService(certificateServiceDefinition, certificateService.implementation);
    this.plaintext = new grpc.Server(channelOptions);
    anonymous.addTo(this.plaintext);
    this.listeners = {
      xds: this.listener(this.secure, { tls: options }),
      plaintextXds: this.listener(this.plaintext, {}),
    };
  }

  /** Changes of what proxies are told of, before they are gathered to pushes. */
  private countChanges(changes: ChangeSet): void {
    const { ambient, metrics } = this.options;
    for (const [type, trigger, collection] of [
      ['svc', 'service', ambient.services],
      ['eds', 'endpoint', ambient.workloads],
      ['config', 'config', ambient.authorizations],
    ] as const) {
      const { size } = changes.of<unknown>(collection);
      if (size === 0) continue;
      metrics.inboundUpdates.inc({ type }, size);
      metrics.triggers.inc({ type: trigger });
    }
  }

  /** Resolves to the bound ports. */
  async listen(): Promise<{ readonly xds: number; readonly plaintextXds: number }> {
    const { xds, plaintextXds } = this.options.config.ports;
    return {
      xds: await this.listeners.xds.listen(xds),
      plaintextXds: await this.listeners.plaintextXds.listen(plaintextXds),
    };
  }

  /** What a proxy is offered if it is believed who it says that it is. */
  typesOf(node: Node): readonly ServedType[] {
    return this.served.of(node, undefined);
  }

  connections(): readonly ConnectionStatus[] {
    return this.discovery.flatMap((server) => server.connections());
  }

  async close(): Promise<void> {
    for (const server of this.discovery) server.close();
    this.secure.forceShutdown();
    this.plaintext.forceShutdown();
    await Promise.all([this.listeners.xds.close(), this.listeners.plaintextXds.close()]);
  }

  private listener(server: grpc.Server, tls: Pick<Http2ListenerOptions, 'tls'>): Http2Listener {
    const { metrics, logger } = this.options;
    // TLS ends in the listener.
    const injector = server.createConnectionInjector(grpc.ServerCredentials.createInsecure());
    return new Http2Listener({
      ...tls,
      onConnection: (socket) => injector.injectConnection(socket),
      onGarbage: (error: WeftError, remoteAddress) => {
        metrics.refusals.inc({ code: error.code });
        logger.debug('closed a connection that is not xDS', { remoteAddress, error: describeError(error) });
      },
    });
  }

  private common(port: string) {
    const { config, metrics, logger } = this.options;
    const { version } = config;
    return {
      debounceMs: config.debounce.quietMs,
      debounceMaxMs: config.debounce.maxMs,
      pushConcurrency: config.xds.pushConcurrency,
      connectionsPerSecond: config.xds.connectionsPerSecond,
      logger: logger.scope(`xds::${port}`),
      observer: {
        connected: () => metrics.connections.inc({ version }),
        disconnected: () => metrics.connections.dec({ version }),
        pushed: (typeUrl: string, _resources: number, _removed: number, bytes: number) => {
          metrics.pushes.inc({ type: metricType(typeUrl) });
          metrics.configBytes.observe({ type: typeUrl }, bytes);
        },
        rejected: (typeUrl: string) => {
          metrics.rejections.inc();
          metrics.rejectionsByType.get(shortType(typeUrl))?.inc();
        },
        writeTimedOut: () => metrics.writeTimeouts.inc(),
        failed: () => metrics.internalErrors.inc(),
        expiredNonce: () => metrics.expiredNonces.inc(),
        debounced: (ms: number) => metrics.debounceSeconds.observe(ms / 1_000),
        queued: (ms: number) => metrics.queueSeconds.observe(ms / 1_000),
        typePushed: (typeUrl: string, ms: number) =>
          metrics.pushSeconds.observe({ type: metricType(typeUrl) }, ms / 1_000),
        sent: (ms: number) => metrics.sendSeconds.observe(ms / 1_000),
        refused: (code: string) => metrics.refusals.inc({ code }),
        converged: (ms: number) => metrics.convergenceSeconds.observe(ms / 1_000),
      },
    };
  }
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

/** The names by which Istio's dashboard knows Envoy's types; `wds` and `wads` are its names of ambient's. */
const metricTypes: ReadonlyMap<string, string> = new Map([
  ['Cluster', 'cds'],
  ['ClusterLoadAssignment', 'eds'],
  ['Listener', 'lds'],
  ['RouteConfiguration', 'rds'],
  ['Address', 'wds'],
  ['Workload', 'wds'],
  ['Authorization', 'wads'],
]);

function metricType(typeUrl: string): string {
  const short = shortType(typeUrl);
  return metricTypes.get(short) ?? short;
}
