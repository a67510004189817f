import { setMaxListeners } from 'node:events';
import { Graph } from '@weft/collections';
import { type KubernetesClient, LeaseElection } from '@weft/kubernetes';
import {
  AdminServer,
  type Clock,
  type Logger,
  Readiness,
  WeftError,
  createPrometheusRegistry,
  describeError,
} from '@weft/telemetry';
import { ApiContact } from './api-contact.ts';
import { createAmbientGraph, nodeIdentityKey } from './ambient/ambient-graph.ts';
import { trustDomains } from './ambient/trust-domain-aliases.ts';
import { createCertificateMetrics, registerAuthorityMetrics } from './ca/certificate-metrics.ts';
import { CallerAuthenticator } from './ca/caller-authenticator.ts';
import { CertificateService } from './ca/certificate-service.ts';
import { followAuthority, recordRotation } from './ca/follow-authority.ts';
import { loadAuthority, patiently } from './ca/load-authority.ts';
import { MeshAuthority } from './ca/mesh-authority.ts';
import { distributeRoots } from './ca/root-distribution.ts';
import { RotationRecord } from './ca/rotation-record.ts';
import { ServingCertificates, servingNames } from './ca/serving-certificate.ts';
import { TokenAuthenticator } from './ca/token-authenticator.ts';
import type { ConnectionStatus } from '@weft/xds';
import type { ControlPlaneConfig } from './config.ts';
import { configDumpSource, pageSource, syncSource } from './debug/debug-source.ts';
import { type DebugOptions, debugPage, debugRoutes, readyRoutes } from './debug/routes.ts';
import { DiscoveryServers } from './discovery/discovery-servers.ts';
import { runGatewayController } from './gateway/gateway-controller.ts';
import { createGatewayGraph } from './gateway/gateway-graph.ts';
import { fetchKeySets } from './jwks/key-set-fetcher.ts';
import { meshReadings } from './mesh-readings.ts';
import { MeshConfigHealth } from './mesh-config-health.ts';
import { createControlPlaneMetrics, registerAbsent, registerReadings } from './metrics.ts';
import { createNetworkingGraph } from './networking/networking-graph.ts';
import { followParameters } from './sources/follow-parameters.ts';
import { reflectCluster } from './sources/reflect.ts';
import { MESH_KEY, createSources } from './sources/sources.ts';
import { createPolicyConditions } from './status/policy-conditions.ts';
import { allocateAddresses } from './status/address-allocation.ts';
import { createConditionKinds } from './status/condition-kinds.ts';
import { writeConditions } from './status/condition-writer.ts';
import { routeKinds } from './status/route-kinds.ts';
import { writeRouteStatuses } from './status/route-status-writer.ts';
import { admit } from './webhooks/admission.ts';
import { maintainWebhookConfiguration, webhookConfigurationName } from './webhooks/webhook-configuration.ts';
import { WebhookServer } from './webhooks/webhook-server.ts';

export interface ControlPlaneOptions {
  readonly config: ControlPlaneConfig;
  readonly client: KubernetesClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Ends everything. */
  readonly signal: AbortSignal;
}

export interface ControlPlane {
  /** What was bound, for configurations that say 0. */
  readonly ports: ControlPlaneConfig['ports'];
  readonly rootsPem: string;
  /** Resolves when everything has ended, the lease given back included. */
  close(): Promise<void>;
}

const LEASE = 'istio-leader';
const MAX_ABORT_LISTENERS = 100;

/**
 * Builds the parts and starts them, in the order in which they need each other; resolves once ready.
 *
 *   reflectors ─▶ sources ─▶ ambient graph ─▶ xDS 15010/15012
 *                                └──────────▶ CA on 15012, statuses and ConfigMaps by the leader
 */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { config, client, clock, logger } = options;
  const { namespace, clusterId, clusterDomain, revision, version, ports } = config;
  const stop = new AbortController();
  const { signal } = stop;
  // Every reflector listens; node takes more than ten for a leak.
  setMaxListeners(MAX_ABORT_LISTENERS, signal);
  const closers: (() => unknown)[] = [];
  const close = async (): Promise<void> => {
    stop.abort();
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  if (options.signal.aborted) throw new WeftError('WEFT1814', 'stopped before the start');
  const onStop = (): void => stop.abort();
  options.signal.addEventListener('abort', onStop, { once: true });
  closers.push(() => options.signal.removeEventListener('abort', onStop));

  try {
    const registry = createPrometheusRegistry();
    const metrics = createControlPlaneMetrics(registry, version);
    const readiness = new Readiness(['certificate authority', 'caches', 'listeners']);
    const contact = new ApiContact({ client, reachable: metrics.apiReachable, clock, logger, signal });
    closers.push(() => contact.done);
    const graph = new Graph({
      onTick: (ms) => metrics.computationSeconds.observe(ms / 1_000),
      onError: ({ collection, key, error }) => {
        metrics.computationErrors.inc({ collection });
        const coded = new WeftError('WEFT1830', `${collection} ${key}`, { cause: error });
        logger.error('cannot derive configuration', { error: describeError(coded) });
      },
    });
    closers.push(() => graph.close());
    const sources = createSources(graph);
    const ambient = createAmbientGraph(graph, sources, {
      clusterId,
      clusterDomain,
      systemNamespace: namespace,
      requireWaypoint: config.requireWaypoint,
      allowWaypoints: config.allowWaypoints,
      sendDryRun: config.sendDryRun,
      defaults: { trustDomain: config.trustDomain, rootNamespace: namespace },
    });
    const gateways = createGatewayGraph(graph, sources, {
      ...ambient,
      template: { image: config.proxyImage, systemNamespace: namespace, revision, clusterId, clusterDomain },
    });
    const networking = createNetworkingGraph(graph, sources, ambient, { clusterDomain });
    const policyConditions = createPolicyConditions(graph, sources, ambient);
    const conditionKinds = createConditionKinds(graph, sources, ambient, policyConditions);
    const meshNow = () => ambient.mesh.get(MESH_KEY) ?? ambient.defaultMesh;
    const meshConfig = new MeshConfigHealth({
      graph,
      reports: ambient.meshConfigReports,
      valid: metrics.meshConfigValid,
      logger,
    });
    closers.push(() => meshConfig.close());
    const ready = new AdminServer(
      readyRoutes(readiness, () => [...contact.troubles, ...meshConfig.troubles]),
    );
    const readyPort = await ready.listen(ports.ready);
    closers.push(() => ready.close());

    registerReadings(registry, meshReadings({ sources, ambient, networking }));
    registerAbsent(registry);

    const caches = reflectCluster({
      client,
      systemNamespace: namespace,
      revision,
      graph,
      sources,
      discovery: ambient.discovery,
      discoveredNamespaces: ambient.discoveredNamespaces,
      events: metrics.events,
      replacedWatches: metrics.replacedWatches,
      logger: logger.scope('reflector'),
      signal,
    }).then(() => readiness.open('caches'));
    // Awaited below; until then a failure elsewhere must be the one that is reported.
    caches.catch(() => undefined);
    const { directory, defaultTtlMs, maxTtlMs, tokenAudiences, ...callers } = config.certificates;
    const authorityOptions = { client, namespace, directory, clock, signal };
    const caLogger = logger.scope('ca');
    const record = new RotationRecord(authorityOptions);
    const [loaded, resumed] = await patiently(
      async () => [await loadAuthority(authorityOptions), await record.read()] as const,
      { clock, logger: caLogger, signal },
    );
    const authority = new MeshAuthority({
      ...loaded,
      resumed,
      certificateTtlMs: defaultTtlMs,
      clock,
      logger: caLogger,
    });
    closers.push(() => authority.close());
    const rotating = { ...authorityOptions, loaded, mesh: authority, record, logger: caLogger };
    recordRotation(rotating);
    const following = followAuthority(rotating);
    closers.push(() => following);
    readiness.open('certificate authority');
    registerAuthorityMetrics(registry, authority);
    logger.info('certificate authority loaded', {
      origin: loaded.origin,
      expires: authority.notAfter.toISOString(),
    });

    const certificates = await ServingCertificates.issue({
      authority,
      dnsNames: servingNames(namespace, revision, clusterDomain),
      ttlMs: defaultTtlMs,
      clock,
      logger: caLogger,
    });
    closers.push(() => certificates.close());
    const tokens = new TokenAuthenticator(client, tokenAudiences, clock);
    const authenticator = new CallerAuthenticator({
      tokens,
      trustDomain: () => meshNow().trustDomain,
      trustedGateways: callers.trustedGateways,
    });
    const certificateService = new CertificateService({
      authority,
      authenticator,
      identities: {
        get trustDomain() {
          return meshNow().trustDomain;
        },
        trustedNodeAccounts: callers.trustedNodeAccounts,
        pod: (podNamespace, name) => sources.pods.get(`${podNamespace}/${name}`),
        podsOnNode: (...key) => ambient.podsByNodeIdentity.lookup(nodeIdentityKey(...key)),
      },
      trustAnchors: () => ambient.meshSettings.get(MESH_KEY)?.trustAnchors.pems ?? [],
      defaultTtlMs,
      maxTtlMs,
      metrics: createCertificateMetrics(registry),
      clock,
      logger: caLogger,
    });
    const connections = (): readonly ConnectionStatus[] => discovery.connections();
    const debugOptions: DebugOptions = {
      version,
      systemNamespace: namespace,
      clusterId,
      clusterDomain,
      sources,
      graph,
      ambient,
      registry,
      networking,
      authenticator: tokens,
      connections,
      typesOf: (node) => discovery.typesOf(node),
      synced: () => !readiness.pending.includes('caches'),
    };
    const discovery: DiscoveryServers = new DiscoveryServers({
      config,
      graph,
      ambient,
      networking,
      namespaces: sources.namespaces,
      pods: sources.pods,
      services: sources.services,
      clusterDomain,
      authenticator,
      authority,
      certificates,
      certificateService,
      metrics,
      logger,
      systemNamespace: namespace,
      debugTypes: () => [
        { source: syncSource(connections) },
        { source: pageSource((name) => debugPage(debugOptions, name)), byNameOnly: true },
        { source: configDumpSource(debugOptions), byNameOnly: true },
      ],
    });
    closers.push(() => discovery.close());

    const admin = new AdminServer(debugRoutes(debugOptions));
    const metricsPort = await admin.listen(ports.metrics);
    closers.push(() => admin.close());

    await caches;
    const webhooks = new WebhookServer({
      certificates,
      admit: (request) => {
        const { rootNamespace, ...mesh } = meshNow();
        const has = (ns: string, account: string): boolean =>
          sources.serviceAccounts.get(`${ns}/${account}`) === true;
        return admit(request, {
          rootNamespace,
          clusterDomain,
          accounts: { trustDomains: trustDomains(mesh), has },
        });
      },
      registry,
      logger: logger.scope('webhook'),
    });
    const webhookPort = await webhooks.listen(ports.webhooks);
    closers.push(() => webhooks.close());
    fetchKeySets({
      graph,
      authentications: sources.requestAuthentications,
      keySets: sources.jwks,
      clock,
      logger: logger.scope('jwks'),
      signal,
    });
    followParameters({
      client,
      graph,
      gateways: sources.gateways,
      configMaps: sources.gatewayParameters,
      logger: logger.scope('reflector'),
      signal,
    });
    const bound = await discovery.listen();
    readiness.open('listeners');
    logger.info('ready', { workloads: ambient.workloads.size, services: ambient.services.size });

    const election = new LeaseElection({
      client,
      name: revision === '' || revision === 'default' ? LEASE : `${LEASE}-${revision}`,
      namespace,
      identity: config.podName,
      logger: logger.scope('leader'),
      clock,
      signal,
      onElected: (leadership) => {
        setMaxListeners(MAX_ABORT_LISTENERS, leadership);
        const common = { client, graph, clock, signal: leadership };
        const namespaces = ambient.discoveredNamespaces;
        distributeRoots({ ...common, namespaces, authority, logger: caLogger });
        writeConditions({ ...common, kinds: conditionKinds, logger: logger.scope('status') });
        allocateAddresses({
          ...common,
          serviceEntries: sources.serviceEntries,
          logger: logger.scope('status'),
        });
        writeRouteStatuses({
          ...common,
          kinds: routeKinds(sources, gateways),
          logger: logger.scope('status'),
        });
        runGatewayController({ ...common, sources, gateways, logger: logger.scope('gateway') });
        const name = webhookConfigurationName(namespace, revision);
        maintainWebhookConfiguration({ ...common, name, authority, logger: logger.scope('webhook') });
      },
    });
    closers.push(() => election.done);
    return {
      ports: {
        ...bound,
        ready: readyPort,
        metrics: metricsPort,
        webhooks: webhookPort,
      },
      get rootsPem() {
        return authority.rootsPem;
      },
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}
