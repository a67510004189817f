import { deepEqual } from '@weft/collections';
import { nearest } from '../webhooks/nearest.ts';
import { unsupportedLogProviders } from './access-log-settings.ts';
import { ineffectiveProxyDefaults } from './proxy-defaults.ts';
import { Fields, list } from './config-fields.ts';

/** Fields that have an effect, some of them only in part: who reads them says which. */
const effective = [
  'accessLogEncoding',
  'accessLogFile',
  'accessLogFormat',
  'caCertificates',
  'connectTimeout',
  'defaultConfig',
  'defaultProviders',
  'disableEnvoyListenerLog',
  'discoverySelectors',
  'dnsRefreshRate',
  'extensionProviders',
  'hboneIdleTimeout',
  'pathNormalization',
  'protocolDetectionTimeout',
  'rootNamespace',
  'serviceEntryVisibility',
  'tcpKeepalive',
  'trustDomain',
  'trustDomainAliases',
];

interface Ineffective {
  /** Completes the sentence "has no effect: …". */
  readonly why: string;
  /** Values that ask for what happens anyway. */
  readonly harmless?: readonly unknown[];
}

const ofSidecars = 'it is for sidecars, and there are none';
const ofVirtualServices = 'VirtualServices and DestinationRules are not read';
const ofIngress = 'Ingress objects are not read';

const ineffective: Readonly<Record<string, Ineffective>> = {
  ca: { why: 'certificates are signed by istiod' },
  certificates: { why: 'istiod certifies workloads, and by the names of its own Service itself' },
  configSources: { why: 'configuration is read from the Kubernetes API' },
  defaultDestinationRuleExportTo: { why: ofVirtualServices, harmless: [['*']] },
  defaultHttpRetryPolicy: { why: 'requests are tried again as routes say, else as Istio does by default' },
  defaultServiceExportTo: { why: 'serviceEntryVisibility decides in ambient', harmless: [['*']] },
  defaultVirtualServiceExportTo: { why: ofVirtualServices, harmless: [['*']] },
  enableAutoMtls: { why: 'workloads of an ambient mesh always speak mutual TLS', harmless: [true] },
  enableEnvoyAccessLogService: { why: 'waypoints log to files', harmless: [false] },
  enablePrometheusMerge: { why: ofSidecars, harmless: [true, false] },
  enableTracing: { why: 'waypoints do not trace yet', harmless: [false] },
  h2UpgradePolicy: { why: 'the protocol of a Service’s port decides', harmless: ['DO_NOT_UPGRADE'] },
  inboundClusterStatName: { why: ofSidecars },
  inboundTrafficPolicy: { why: ofSidecars, harmless: [{ mode: 'PASSTHROUGH' }, {}] },
  ingressClass: { why: ofIngress, harmless: ['istio'] },
  ingressControllerMode: { why: ofIngress, harmless: ['OFF', 'STRICT'] },
  ingressSelector: { why: ofIngress, harmless: ['ingressgateway'] },
  ingressService: { why: ofIngress, harmless: ['istio-ingressgateway'] },
  localityLbSetting: {
    why: 'waypoints balance over the endpoints of all localities',
    harmless: [{ enabled: true }, {}],
  },
  meshMTLS: {
    why: 'tunnels are of TLS 1.3',
    harmless: [
      {},
      ...['TLS_AUTO', 'TLSV1_2', 'TLSV1_3'].map((minProtocolVersion) => ({ minProtocolVersion })),
    ],
  },
  outboundClusterStatName: { why: ofSidecars },
  outboundTrafficPolicy: {
    why: 'ztunnel lets through what the mesh does not know; NetworkPolicies restrict where pods connect to',
    harmless: [{ mode: 'ALLOW_ANY' }, {}],
  },
  proxyHttpPort: { why: ofSidecars, harmless: [0] },
  proxyInboundListenPort: { why: ofSidecars, harmless: [15_006] },
  proxyListenPort: { why: ofSidecars, harmless: [15_001] },
  serviceScopeConfigs: { why: 'it decides which Services clusters share, and there is one cluster' },
  serviceSettings: { why: 'it decides which Services clusters share, and there is one cluster' },
  tlsDefaults: { why: 'waypoints originate no TLS but tunnels' },
  verifyCertificateAtClient: { why: ofVirtualServices, harmless: [true, false] },
};

/** What somebody should know who wrote this configuration and believes that all of it counts. */
export function meshConfigNotices(fields: Fields): string[] {
  const known: readonly string[] = [...effective, ...Object.keys(ineffective)];
  const notices = fields.names().flatMap((name): string[] => {
    const found = Object.hasOwn(ineffective, name) ? ineffective[name] : undefined;
    const value = fields.value(name);
    if (found !== undefined) {
      const isHarmless = value === undefined || found.harmless?.some((one) => deepEqual(one, value)) === true;
      return isHarmless ? [] : [`${name} has no effect: ${found.why}`];
    }
    if (known.includes(name)) return [];
    const meant = nearest(name, known);
    return [`${name} is no field of MeshConfig${meant === undefined ? '' : `; did you mean ${meant}?`}`];
  });
  const passedOn = ineffectiveProxyDefaults(fields.value('defaultConfig')).map(
    (name) => `defaultConfig.${name} has no effect: it is passed on to waypoints, which do not read it`,
  );
  return [...notices, ...providerNotices(fields), ...passedOn];
}

function providerNotices(fields: Fields): string[] {
  const providers = new Fields(fields.value('defaultProviders') ?? {}, 'defaultProviders');
  const metrics = list(providers.value('metrics') ?? [], providers.at('metrics'));
  const tracing = list(providers.value('tracing') ?? [], providers.at('tracing'));
  return [
    ...unsupportedLogProviders(fields).map(
      (name) =>
        `defaultProviders.accessLogging: ${name} has no effect: it is no provider that logs to a file`,
    ),
    ...(metrics.every((name) => name === 'prometheus')
      ? []
      : ['defaultProviders.metrics has no effect: metrics are for Prometheus']),
    ...(tracing.length === 0 ? [] : ['defaultProviders.tracing has no effect: waypoints do not trace yet']),
  ];
}
