import { parse } from 'yaml';
import { type AuthorizationProvider, parseAuthorizationProviders } from './extension-providers.ts';
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
export function parseMeshConfig(text: string, defaults: Mesh): Mesh {
  const document: unknown = parse(text) ?? {};
  if (typeof document !== 'object' || document === null || Array.isArray(document)) {
    throw new Error('mesh configuration is not a mapping');
  }
  const settings = new Map<string, unknown>(Object.entries(document));
  const read = (name: 'trustDomain' | 'rootNamespace'): string => {
    const value = settings.get(name) ?? defaults[name];
    if (typeof value !== 'string') throw new Error(`mesh configuration: ${name} is not a string`);
    return value === '' ? defaults[name] : value;
  };
  return {
    ...defaults,
    trustDomain: read('trustDomain'),
    trustDomainAliases: readAliases(settings.get('trustDomainAliases')),
    rootNamespace: read('rootNamespace'),
    serviceEntryVisibility: parseVisibilityRules(settings.get('serviceEntryVisibility')),
    authorizationProviders: parseAuthorizationProviders(settings.get('extensionProviders')),
  };
}

function readAliases(value: unknown): readonly string[] {
  if (value === undefined || value === null) return [];
  // A slash would move the border between trust domain and path.
  const isAlias = (one: unknown): one is string => typeof one === 'string' && /^[^/*]+$/.test(one);
  if (Array.isArray(value) && value.every(isAlias)) return value;
  throw new Error('mesh configuration: trustDomainAliases is not a list of trust domains');
}
