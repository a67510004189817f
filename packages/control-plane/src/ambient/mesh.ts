import { parseYaml } from '../yaml-text.ts';
import type { LabelSelector } from '@weft/kubernetes';
import { Fields, labelSelector, list, wrong } from './config-fields.ts';
import { meshConfigNotices } from './mesh-config-notices.ts';
import { type AuthorizationProvider, parseAuthorizationProviders } from './extension-providers.ts';
import { type ProxyDefaults, parseProxyDefaults } from './proxy-defaults.ts';
import { type TrustAnchors, parseTrustAnchors } from './trust-anchors.ts';
import { trustDomains } from './trust-domain-aliases.ts';
import { type WaypointSettings, parseWaypointSettings } from './waypoint-settings.ts';
import { type VisibilityRules, everybodySees, parseVisibilityRules } from './visibility.ts';

/** What all derived resources depend on. */
export interface Mesh {
  readonly trustDomain: string;
  /** Other trust domains whose identities count as the mesh's own. */
  readonly trustDomainAliases: readonly string[];
  /** Policies of this namespace apply to the whole mesh. */
  readonly rootNamespace: string;
  /** The network of this cluster, by the label on the system namespace; empty when there is only one. */
  readonly network: string;
  readonly serviceEntryVisibility: VisibilityRules;
  /** By name. */
  readonly authorizationProviders: ReadonlyMap<string, AuthorizationProvider>;
}

/** A MeshConfig by what depends on it, so that a change concerns nobody else. */
export interface MeshSettings {
  readonly mesh: Mesh;
  /** Which namespaces are read: those that match any of them. Empty: all. */
  readonly discoverySelectors: readonly LabelSelector[];
  readonly waypoints: WaypointSettings;
  readonly proxies: ProxyDefaults;
  readonly trustAnchors: TrustAnchors;
}

/** What there is to say of a MeshConfig. */
export interface MeshConfigReport {
  /** Why it isn't valid, and so not in force. */
  readonly problem: string | undefined;
  /** Which of its fields have no effect, and why. */
  readonly notices: readonly string[];
}

export function defaultMesh(settings: Pick<Mesh, 'trustDomain' | 'rootNamespace'>): Mesh {
  return {
    ...settings,
    trustDomainAliases: [],
    network: '',
    serviceEntryVisibility: everybodySees,
    authorizationProviders: new Map(),
  };
}

/**
 * The settings of a MeshConfig that ambient needs.
 * @throws where the text isn't YAML or a setting is no good; the caller keeps what it had.
 */
export function parseMeshConfig(text: string, defaults: Mesh): MeshSettings {
  const fields = meshConfigFields(text);
  const trustDomain = fields.maybeEmpty('trustDomain') || defaults.trustDomain;
  if (!isTrustDomain(trustDomain)) throw wrong('trustDomain', 'is not a trust domain');
  const trustDomainAliases = readAliases(fields.value('trustDomainAliases'));
  const ownDomains = trustDomains({ trustDomain, trustDomainAliases });
  return {
    mesh: {
      ...defaults,
      trustDomain,
      trustDomainAliases,
      rootNamespace: fields.maybeEmpty('rootNamespace') || defaults.rootNamespace,
      serviceEntryVisibility: parseVisibilityRules(fields.value('serviceEntryVisibility')),
      authorizationProviders: parseAuthorizationProviders(fields.value('extensionProviders')),
    },
    discoverySelectors: list(fields.value('discoverySelectors') ?? [], 'discoverySelectors').map(
      (selector, i) => labelSelector(selector, `discoverySelectors[${i}]`),
    ),
    waypoints: parseWaypointSettings(fields),
    proxies: parseProxyDefaults(fields.value('defaultConfig')),
    trustAnchors: parseTrustAnchors(fields.value('caCertificates'), ownDomains),
  };
}

export function meshConfigReport(text: string, defaults: Mesh): MeshConfigReport {
  try {
    const { trustAnchors } = parseMeshConfig(text, defaults);
    const notices = [...meshConfigNotices(meshConfigFields(text)), ...trustAnchors.notices];
    return { problem: undefined, notices };
  } catch (error) {
    // Of YAML that can't be read, the lines after the first show the text.
    const [problem] = String(error instanceof Error ? error.message : error).split('\n');
    return { problem, notices: [] };
  }
}

/** @throws where the text isn't a mapping in YAML */
function meshConfigFields(text: string): Fields {
  const document: unknown = parseYaml(text) ?? {};
  if (typeof document !== 'object' || Array.isArray(document)) {
    throw new Error('mesh configuration is not a mapping');
  }
  return new Fields(document, '');
}

function readAliases(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every(isTrustDomain)) return value;
  throw wrong('trustDomainAliases', 'is not a list of trust domains');
}

/** A slash would move the border between trust domain and path. */
function isTrustDomain(value: unknown): value is string {
  return typeof value === 'string' && /^[^/*\s]{1,255}$/.test(value);
}
