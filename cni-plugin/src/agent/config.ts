import { isIPv4, isIPv6 } from 'node:net';
import { HOST_PROBE_SNAT_IPV4, HOST_PROBE_SNAT_IPV6, Path, SYSTEM_NAMESPACE } from '@weft/api';
import { Environment, WeftError, isLogLevel, type LogFormat, type LogLevel } from '@weft/telemetry';
import type { ConfigInstallerOptions } from '../install/config-installer.ts';
import { DEFAULT_OWN_FILE } from '../install/config-plan.ts';
import type { BackendWishes } from '../rules/backend.ts';
import type { ProbeSources } from '../rules/rule.ts';
import { parseSelectors, type EnablementSelector } from './enrolment.ts';

export interface AgentConfig {
  readonly nodeName: string;
  readonly podNamespace: string;
  /** Where ztunnel's pods are. */
  readonly systemNamespace: string;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly selectors: readonly EnablementSelector[];
  readonly excludedNamespaces: readonly string[];
  readonly ipv6: boolean;
  /** Unless a pod's annotation says otherwise. */
  readonly dnsCapture: boolean;
  readonly repairRules: boolean;
  readonly switchToHostNamespace: boolean;
  readonly zdsSocket: string;
  readonly runDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly cniConfig: Omit<ConfigInstallerOptions, 'confDir' | 'plugin' | 'logger'>;
  /** Of the container runtime's NRI, which then takes the place of the plugin; undefined: the plugin it is. */
  readonly nriSocket: string | undefined;
  /** Where the node's root is mounted; the plugin names paths of the node. */
  readonly hostRoot: string;
  readonly procDir: string;
  readonly netnsDir: string;
  readonly netfilter: BackendWishes;
  readonly probeSources: ProbeSources;
  /** Commands in a pod don't wait for the lock of the node's iptables. */
  readonly scopedLocking: boolean;
  /** Routes for the probes of pods with a branch network interface of their own. */
  readonly awsBranchEni: boolean;
  /** Everything is removed whenever the agent ends. */
  readonly removeOnExit: boolean;
  readonly audit: { readonly periodMs: number; readonly graceMs: number };
  readonly monitoringPort: number;
  readonly healthPort: number;
}

export function loadConfig(environment: Environment): AgentConfig {
  const logLevel = environment.string('LOG_LEVEL', 'info');
  if (!isLogLevel(logLevel)) throw new WeftError('WEFT1001', `LOG_LEVEL=${logLevel}: unknown level`);
  if (!environment.boolean('AMBIENT_ENABLED', true)) {
    throw new WeftError('WEFT1001', 'AMBIENT_ENABLED=false: this agent does nothing but ambient mode');
  }
  const podNamespace = environment.string('POD_NAMESPACE', SYSTEM_NAMESPACE);
  return {
    nodeName: environment.required('NODE_NAME'),
    podNamespace,
    systemNamespace: environment.string('SYSTEM_NAMESPACE', podNamespace),
    logLevel,
    logFormat: environment.oneOf('LOG_FORMAT', ['plain', 'json'], 'plain'),
    selectors: parseSelectors(environment.required('AMBIENT_ENABLEMENT_SELECTOR')),
    excludedNamespaces: environment.string('EXCLUDE_NAMESPACES', 'kube-system').split(',').filter(Boolean),
    ipv6: environment.boolean('AMBIENT_IPV6', true),
    dnsCapture: environment.boolean('AMBIENT_DNS_CAPTURE', true),
    repairRules: environment.boolean('AMBIENT_RECONCILE_POD_RULES_ON_STARTUP', true),
    switchToHostNamespace: environment.boolean('ALLOW_SWITCH_TO_HOST_NS', true),
    zdsSocket: environment.string('ZTUNNEL_UDS_ADDRESS', Path.zdsSocket),
    runDir: Path.cniRunDir,
    cniBinDir: '/host/opt/cni/bin',
    cniConfDir: environment.string('MOUNTED_CNI_NET_DIR', '/host/etc/cni/net.d'),
    cniConfig: cniConfig(environment),
    nriSocket: environment.optional('WEFT_NRI_SOCKET') || undefined,
    hostRoot: '/host',
    procDir: '/host/proc',
    netnsDir: '/host/var/run/netns',
    netfilter: {
      nativeNftables: environment.boolean('NATIVE_NFTABLES', false),
      forcedIptables: environment.optional('FORCE_IPTABLES_BINARY')
        ? environment.oneOf(
            'FORCE_IPTABLES_BINARY',
            ['iptables', 'iptables-nft', 'iptables-legacy'],
            'iptables',
          )
        : undefined,
    },
    probeSources: {
      4: address(environment, 'HOST_PROBE_SNAT_IP', HOST_PROBE_SNAT_IPV4, isIPv4),
      6: address(environment, 'HOST_PROBE_SNAT_IPV6', HOST_PROBE_SNAT_IPV6, isIPv6),
    },
    scopedLocking: environment.boolean('AMBIENT_USE_SCOPED_XTABLES_LOCKING', true),
    awsBranchEni: environment.boolean('AMBIENT_ENABLE_AWS_BRANCH_ENI_PROBE', false),
    removeOnExit: environment.boolean('AMBIENT_DISABLE_SAFE_UPGRADE', false),
    audit: {
      periodMs: environment.durationMs('WEFT_AUDIT_PERIOD', 15_000),
      graceMs: environment.durationMs('WEFT_AUDIT_GRACE', 60_000),
    },
    monitoringPort: environment.integer('MONITORING_PORT', 15014, { min: 1, max: 65535 }),
    healthPort: environment.integer('HEALTH_PORT', 8000, { min: 1, max: 65535 }),
  };
}

function cniConfig(environment: Environment): AgentConfig['cniConfig'] {
  // Istio's chart says `…_CONF_…`, its agent reads `…_CONFIG_…`.
  const ownFileName =
    environment.optional('ISTIO_OWNED_CNI_CONFIG_FILENAME') ||
    environment.optional('ISTIO_OWNED_CNI_CONF_FILENAME') ||
    DEFAULT_OWN_FILE;
  if (!/^[^/]+\.conflist$/.test(ownFileName))
    throw new WeftError('WEFT1001', `ISTIO_OWNED_CNI_CONFIG_FILENAME=${ownFileName}: expected NAME.conflist`);
  const isAuto = (environment.optional('ISTIO_OWNED_CNI_CONFIG') ?? '') === '';
  return {
    chained: environment.boolean('CHAINED_CNI_PLUGIN', true),
    confName: environment.optional('CNI_CONF_NAME') || undefined,
    ownFile: isAuto ? 'auto' : environment.boolean('ISTIO_OWNED_CNI_CONFIG', false) ? 'always' : 'never',
    ownFileName,
    groupRead: environment.boolean('CNI_CONF_GROUP_READ', false),
  };
}

function address(
  environment: Environment,
  name: string,
  fallback: string,
  isValid: (text: string) => boolean,
): string {
  const text = environment.optional(name) || fallback;
  if (!isValid(text)) throw new WeftError('WEFT1001', `${name}=${text}: expected an address of that family`);
  return text;
}
