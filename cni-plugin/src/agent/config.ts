import { Path, SYSTEM_NAMESPACE } from '@weft/api';
import { Environment, WeftError, isLogLevel, type LogFormat, type LogLevel } from '@weft/telemetry';
import type { IptablesVariant } from '../rules/iptables.ts';
import { parseSelectors, type EnablementSelector } from './enrolment.ts';

export interface AgentConfig {
  readonly nodeName: string;
  readonly podNamespace: string;
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
  readonly selectors: readonly EnablementSelector[];
  readonly excludedNamespaces: readonly string[];
  readonly ipv6: boolean;
  readonly repairRules: boolean;
  readonly switchToHostNamespace: boolean;
  readonly zdsSocket: string;
  readonly runDir: string;
  readonly cniBinDir: string;
  readonly cniConfDir: string;
  readonly cniConfName: string | undefined;
  readonly procDir: string;
  readonly netnsDir: string;
  /** Undefined: found out. */
  readonly iptables: IptablesVariant | undefined;
  readonly monitoringPort: number;
  readonly healthPort: number;
}

export function loadConfig(environment: Environment): AgentConfig {
  const logLevel = environment.string('LOG_LEVEL', 'info');
  if (!isLogLevel(logLevel)) throw new WeftError('WEFT1001', `LOG_LEVEL=${logLevel}: unknown level`);
  if (environment.boolean('AMBIENT_DNS_CAPTURE', false)) {
    throw new WeftError(
      'WEFT1001',
      'AMBIENT_DNS_CAPTURE=true: ztunnel has no DNS proxy yet, so DNS can not be redirected',
    );
  }
  return {
    nodeName: environment.required('NODE_NAME'),
    podNamespace: environment.string('POD_NAMESPACE', SYSTEM_NAMESPACE),
    logLevel,
    logFormat: environment.oneOf('LOG_FORMAT', ['plain', 'json'], 'plain'),
    selectors: parseSelectors(environment.required('AMBIENT_ENABLEMENT_SELECTOR')),
    excludedNamespaces: environment.string('EXCLUDE_NAMESPACES', 'kube-system').split(',').filter(Boolean),
    ipv6: environment.boolean('AMBIENT_IPV6', true),
    repairRules: environment.boolean('AMBIENT_RECONCILE_POD_RULES_ON_STARTUP', true),
    switchToHostNamespace: environment.boolean('ALLOW_SWITCH_TO_HOST_NS', true),
    zdsSocket: environment.string('ZTUNNEL_UDS_ADDRESS', Path.zdsSocket),
    runDir: Path.cniRunDir,
    cniBinDir: '/host/opt/cni/bin',
    cniConfDir: environment.string('MOUNTED_CNI_NET_DIR', '/host/etc/cni/net.d'),
    cniConfName: environment.optional('CNI_CONF_NAME') || undefined,
    procDir: '/host/proc',
    netnsDir: '/host/var/run/netns',
    iptables: environment.optional('FORCE_IPTABLES_BINARY')
      ? environment.oneOf(
          'FORCE_IPTABLES_BINARY',
          ['iptables', 'iptables-nft', 'iptables-legacy'],
          'iptables',
        )
      : undefined,
    monitoringPort: environment.integer('MONITORING_PORT', 15014, { min: 1, max: 65535 }),
    healthPort: environment.integer('HEALTH_PORT', 8000, { min: 1, max: 65535 }),
  };
}
