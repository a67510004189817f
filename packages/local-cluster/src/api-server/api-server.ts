/*
 * The Kubernetes API of the local cluster.
 *
 *   const server = await ApiServer.start({ tls, serviceAccountKeys, listeners: [{ kind: 'address', host, port }] });
 *   server.addresses   // bound host:port pairs, in the order of `listeners`
 *   await server.close();
 *
 * Process: `node dist/api-server/main.js CONFIG.json` (see `config.ts` for the file's shape).
 *
 *   socket ─> authenticate ─> authorise (RBAC) ─┬─> PathEndpoint      discovery, OpenAPI, version, health
 *                                               ├─> ResourceEndpoint  get list watch create update patch delete
 *                                               │     └─> prune, default, admission, validate ─> Store ─> log file
 *                                               └─> StreamEndpoint    log exec attach portforward ─> kubelet
 */
import type { IncomingMessage } from 'node:http';
import { createSecureServer, type Http2SecureServer } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { describeError, silentLogger, WeftError, type Logger } from '@weft/telemetry';
import { TypeRegistry } from '../schema/index.ts';
import { AdmissionChain } from './admission/admission.ts';
import { NamespaceLifecycle } from './admission/namespace-lifecycle.ts';
import { PriorityAdmission } from './admission/priority.ts';
import { RoleEscalation } from './admission/role-escalation.ts';
import { ValidatingAdmissionPolicies } from './admission/validating-admission-policy.ts';
import { WebhookClient } from './admission/webhook-client.ts';
import { WebhookAdmission } from './admission/webhooks.ts';
import { ServiceAccountAdmission } from './admission/service-account.ts';
import { Authenticator, type StaticToken } from './auth/authenticator.ts';
import { TokenSigner } from './auth/json-web-token.ts';
import { RbacAuthorizer } from './auth/rbac.ts';
import { DEFAULT_ISSUER, ServiceAccountTokens } from './auth/service-account-tokens.ts';
import type { HttpRequest, HttpResponse } from './http-exchange.ts';
import { PathEndpoint } from './path-endpoint.ts';
import { RequestHandler } from './request-handler.ts';
import { ResourceCatalog } from './resource.ts';
import { CustomResourceCleanup } from './rest/custom-resource-cleanup.ts';
import { ObjectDeleter } from './rest/deletion.ts';
import { ObjectWriter } from './rest/object-writer.ts';
import { ResourceEndpoint } from './rest/resource-endpoint.ts';
import { Reviews } from './rest/reviews.ts';
import { parseServiceRange, ServiceAddresses } from './rest/service-addresses.ts';
import { KubeletClient } from './streams/kubelet-client.ts';
import { StreamEndpoint } from './streams/stream-endpoint.ts';
import { CommitLog } from './store/commit-log.ts';
import { Store } from './store/store.ts';

export type Listener =
  | { readonly kind: 'address'; readonly host: string; readonly port: number }
  /** A listening socket inherited from the launcher, which may belong to another network namespace. */
  | { readonly kind: 'fd'; readonly fd: number };

export interface ApiServerOptions {
  /** The log file; without one nothing outlives the process. */
  readonly storePath?: string;
  readonly tls: {
    readonly certificateChainPem: string;
    readonly privateKeyPem: string;
    /** Client certificates that end here are trusted: CN is the user, each O a group. */
    readonly clientCaPem: string;
  };
  readonly listeners: readonly Listener[];
  readonly serviceAccountKeys: {
    readonly privateKeyPem: string;
    readonly olderPublicKeyPems?: readonly string[];
  };
  readonly staticTokens?: readonly StaticToken[];
  /** Issuer and audience of service account tokens; default https://kubernetes.default.svc.cluster.local. */
  readonly serviceAccountIssuer?: string;
  /** Default 10.96.0.0/16. */
  readonly serviceCidr?: string;
  readonly kubelet?: {
    /** Sent as `x-weft-kubelet-token`. */
    readonly token: string;
    /** Default: the node's InternalIP and kubelet port, as its status says. */
    readonly endpoint?: (nodeName: string) => KubeletEndpoint | undefined;
  };
  readonly logger?: Logger;
  readonly now?: () => Date;
  /** The disk refused a write; the process should end. */
  readonly onFatal?: (error: unknown) => void;
}

export interface KubeletEndpoint {
  readonly host: string;
  readonly port: number;
}

const DEFAULT_SERVICE_CIDR = '10.96.0.0/16';
/** Streams of one client connection; each watch is one. */
const MAX_STREAMS_PER_CONNECTION = 1_000;

export class ApiServer {
  readonly addresses: readonly { readonly host: string; readonly port: number }[];
  readonly store: Store;
  private readonly servers: readonly Http2SecureServer[];
  private readonly sockets: ReadonlySet<Duplex>;

  private constructor(
    store: Store,
    servers: readonly Http2SecureServer[],
    addresses: readonly { host: string; port: number }[],
    sockets: ReadonlySet<Duplex>,
  ) {
    this.store = store;
    this.servers = servers;
    this.addresses = addresses;
    this.sockets = sockets;
  }

  /** Listens first and answers 503 with Retry-After until the store is loaded. Throws WEFT2020 for a damaged log. */
  static async start(options: ApiServerOptions): Promise<ApiServer> {
    const { logger = silentLogger, listeners } = options;
    const starting: { handler?: RequestHandler } = {};
    const sockets = new Set<Duplex>();
    const servers = listeners.map(() => createServer(options, starting, sockets, logger));
    const addresses = await Promise.all(servers.map((server, index) => listen(server, listeners[index])));
    const store =
      options.storePath === undefined
        ? new Store()
        : await CommitLog.openStore(options.storePath, options.onFatal ?? (() => undefined));
    starting.handler = buildHandler(store, options, logger);
    return new ApiServer(store, servers, addresses, sockets);
  }

  async close(): Promise<void> {
    const closed = this.servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const socket of this.sockets) socket.destroy();
    await Promise.all(closed);
    await this.store.close();
  }
}

function buildHandler(store: Store, options: ApiServerOptions, logger: Logger): RequestHandler {
  const now = options.now ?? (() => new Date());
  const signer = new TokenSigner(
    options.serviceAccountKeys.privateKeyPem,
    options.serviceAccountKeys.olderPublicKeyPems,
  );
  const issuer = options.serviceAccountIssuer ?? DEFAULT_ISSUER;
  const catalog = new ResourceCatalog(TypeRegistry.load(), store);
  const tokens = new ServiceAccountTokens(store, signer, issuer, now);
  const authorizer = new RbacAuthorizer(store);
  const admission = new AdmissionChain([
    new NamespaceLifecycle(store),
    new ServiceAccountAdmission(store),
    new PriorityAdmission(store),
    new RoleEscalation(authorizer),
    new ValidatingAdmissionPolicies(store, catalog),
    new WebhookAdmission(store, new WebhookClient(store), logger),
  ]);
  // Follows the store by itself from here on.
  void new CustomResourceCleanup(store, catalog, new AdmissionChain([]), now);
  const addresses = new ServiceAddresses(
    store,
    parseServiceRange(options.serviceCidr ?? DEFAULT_SERVICE_CIDR),
  );
  const writer = new ObjectWriter({ store, catalog, admission, addresses, now });
  const deleter = new ObjectDeleter(store, admission, now);
  const reviews = new Reviews(authorizer, tokens);
  return new RequestHandler({
    authenticator: new Authenticator(tokens, options.staticTokens ?? []),
    authorizer,
    catalog,
    paths: new PathEndpoint(catalog, signer, issuer),
    resources: new ResourceEndpoint({ store, catalog, writer, deleter, reviews, tokens, now }),
    streams: new StreamEndpoint(
      store,
      new KubeletClient(options.kubelet?.token ?? ''),
      options.kubelet?.endpoint ?? (() => undefined),
    ),
    logger,
  });
}

function createServer(
  { tls }: ApiServerOptions,
  starting: { readonly handler?: RequestHandler },
  sockets: Set<Duplex>,
  logger: Logger,
): Http2SecureServer {
  const server = createSecureServer({
    allowHTTP1: true,
    cert: tls.certificateChainPem,
    key: tls.privateKeyPem,
    ca: tls.clientCaPem,
    requestCert: true,
    // A client without a certificate may have a token; the authenticator decides.
    rejectUnauthorized: false,
    minVersion: 'TLSv1.2',
    settings: { maxConcurrentStreams: MAX_STREAMS_PER_CONNECTION, enableConnectProtocol: false },
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
    socket.on('error', (error) => logger.debug('connection failed', { error: describeError(error) }));
  });
  server.on('sessionError', (error: Error) =>
    logger.debug('HTTP/2 session failed', { error: describeError(error) }),
  );
  server.on('tlsClientError', (error: Error) =>
    logger.debug('TLS handshake failed', { error: describeError(error) }),
  );
  server.on('request', (request: HttpRequest, response: HttpResponse) => {
    void RequestHandler.serve(starting.handler, request, response);
  });
  server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    void RequestHandler.serveUpgrade(starting.handler, request, socket, head);
  });
  return server;
}

async function listen(
  server: Http2SecureServer,
  listener: Listener | undefined,
): Promise<{ host: string; port: number }> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(
      listener?.kind === 'fd' ? { fd: listener.fd } : { host: listener?.host, port: listener?.port },
      () => {
        server.off('error', reject);
        resolve();
      },
    );
  });
  const address = server.address();
  if (address === null || typeof address === 'string')
    throw new WeftError('WEFT2022', 'a listener is not a TCP socket');
  return { host: address.address, port: address.port };
}
