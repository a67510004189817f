import grpc from '@grpc/grpc-js';
import { TypeUrl } from '@weft/api';
import type { Graph } from '@weft/collections';
import { type Logger, describeError } from '@weft/telemetry';
import { type ConnectionStatus, DeltaServer, type ServedType, deltaServerChannelOptions } from '@weft/xds';
import type { Ambient } from '../ambient/ambient-graph.ts';
import { bareWorkload } from '../ambient/resources.ts';
import { type CertificateService, certificateServiceDefinition } from '../ca/certificate-service.ts';
import type { ServingCertificates } from '../ca/serving-certificate.ts';
import type { Caller, TokenAuthenticator } from '../ca/token-authenticator.ts';
import type { ControlPlaneConfig } from '../config.ts';
import type { ControlPlaneMetrics } from '../metrics.ts';
import { CollectionSource } from './collection-source.ts';
import { authenticateProxy, checkNode } from './proxy-identity.ts';

export interface DiscoveryOptions {
  readonly config: Pick<ControlPlaneConfig, 'ports' | 'debounce' | 'xds' | 'version'>;
  readonly graph: Graph;
  readonly ambient: Ambient;
  readonly authenticator: TokenAuthenticator;
  readonly certificates: ServingCertificates;
  readonly certificateService: CertificateService;
  readonly metrics: ControlPlaneMetrics;
  readonly logger: Logger;
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
  private readonly options: DiscoveryOptions;

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
    const types = servedTypes(options.graph, options.ambient);
    const authenticated = new DeltaServer<Caller | undefined>({
      ...this.common('tls'),
      types,
      authenticate: (peer) =>
        authentication ? authenticateProxy(authenticator, peer) : Promise.resolve(undefined),
      authorize: (caller, node) => {
        if (caller !== undefined && identityCheck) checkNode(caller, node);
      },
    });
    const anonymous = new DeltaServer<undefined>({
      ...this.common('plaintext'),
      types,
      authenticate: () => Promise.resolve(undefined),
    });
    this.discovery = [authenticated, anonymous];
    this.secure = new grpc.Server(channelOptions);
    authenticated.addTo(this.secure);
    this.secure.addService(certificateServiceDefinition, certificateService.implementation);
    this.plaintext = new grpc.Server(channelOptions);
    anonymous.addTo(this.plaintext);
  }

  /** Resolves to the bound ports. */
  async listen(): Promise<{ readonly xds: number; readonly plaintextXds: number }> {
    const { config, certificates } = this.options;
    const { xds, plaintextXds } = config.ports;
    return {
      xds: await bind(this.secure, xds, servingCredentials(certificates)),
      plaintextXds: await bind(this.plaintext, plaintextXds, grpc.ServerCredentials.createInsecure()),
    };
  }

  connections(): readonly ConnectionStatus[] {
    return this.discovery.flatMap((server) => server.connections());
  }

  close(): void {
    for (const server of this.discovery) server.close();
    this.secure.forceShutdown();
    this.plaintext.forceShutdown();
  }

  private common(port: string) {
    const { config, metrics, logger } = this.options;
    const { version } = config;
    return {
      debounceMs: config.debounce.quietMs,
      debounceMaxMs: config.debounce.maxMs,
      logger: logger.scope(`xds::${port}`),
      observer: {
        connected: () => metrics.connections.inc({ version }),
        disconnected: () => metrics.connections.dec({ version }),
        pushed: (typeUrl: string) => metrics.pushes.inc({ type: shortType(typeUrl) }),
        rejected: () => metrics.rejections.inc(),
        refused: () => metrics.authenticationFailures.inc(),
      },
    };
  }
}

/** In the order of a push: a policy comes before the workloads that list it, and goes after them. */
function servedTypes(graph: Graph, ambient: Ambient): ServedType[] {
  return [
    { source: new CollectionSource(TypeUrl.authorization, graph, ambient.authorizations), removals: 'last' },
    { source: new CollectionSource(TypeUrl.address, graph, ambient.addresses) },
    { source: new CollectionSource(TypeUrl.workload, graph, ambient.workloads, bareWorkload) },
  ];
}

function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('.') + 1);
}

/** New connections get the newest certificate; grpc-js offers no other way of rotating a server's. */
function servingCredentials(certificates: ServingCertificates): grpc.ServerCredentials {
  type Listener = Parameters<grpc.experimental.CertificateProvider['addIdentityCertificateListener']>[0];
  const stops = new Map<Listener, () => void>();
  const ignore = (): void => undefined;
  return grpc.experimental.createCertificateProviderServerCredentials(
    {
      addCaCertificateListener: ignore,
      removeCaCertificateListener: ignore,
      addIdentityCertificateListener: (listener) => {
        const stop = certificates.subscribe(({ keyPem, chainPem }) => {
          const update = { certificate: Buffer.from(chainPem), privateKey: Buffer.from(keyPem) };
          // Not at once: grpc-js asks for updates first, and only then begins to listen to itself.
          queueMicrotask(() => listener(update));
        });
        stops.set(listener, stop);
      },
      removeIdentityCertificateListener: (listener) => {
        stops.get(listener)?.();
        stops.delete(listener);
      },
    },
    // Callers authenticate by token.
    null,
    false,
  );
}

function bind(server: grpc.Server, port: number, credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    // Dual stack where the machine has IPv6; grpc-js binds both.
    server.bindAsync(`[::]:${port}`, credentials, (error, bound) => {
      if (error === null) return resolve(bound);
      server.bindAsync(`0.0.0.0:${port}`, credentials, (errorV4, boundV4) => {
        if (errorV4 === null) resolve(boundV4);
        else reject(new Error(`cannot listen on port ${port}: ${describeError(errorV4)}`, { cause: error }));
      });
    });
  });
}
