import { existsSync, readFileSync } from 'node:fs';
import { Path } from '@weft/api';
import { WeftError, type Environment } from '@weft/telemetry';
import { parse } from 'yaml';

/** The keys of Istio's ProxyConfig that a node proxy reads; a key that isn't there isn't decided by it. */
export interface ProxyConfig {
  readonly discoveryAddress?: string;
  readonly proxyAdminPort?: number;
  readonly statsPort?: number;
  /** Data threads; 0 is one a core. */
  readonly concurrency?: number;
  readonly proxyMetadata: Readonly<Record<string, string>>;
}

/**
 * `PROXY_CONFIG` over the `defaultConfig` of the mesh file, key by key; both are YAML.
 * @throws WEFT1001 naming the source and the key
 */
export function readProxyConfig(env: Environment, meshFile = `.${Path.meshConfig}`): ProxyConfig {
  const mesh = existsSync(meshFile) ? objectOf(meshFile, readFileSync(meshFile, 'utf8')) : {};
  const file = section(meshFile, mesh['defaultConfig']);
  const inline = objectOf('PROXY_CONFIG', env.string('PROXY_CONFIG', ''));
  return {
    ...readKeys(`${meshFile}: defaultConfig`, file),
    ...readKeys('PROXY_CONFIG', inline),
    proxyMetadata: {
      ...metadata(`${meshFile}: defaultConfig`, file),
      ...metadata('PROXY_CONFIG', inline),
    },
  };
}

type YamlObject = Readonly<Record<string, unknown>>;

function objectOf(source: string, text: string): YamlObject {
  let value: unknown;
  try {
    value = parse(text);
  } catch (error) {
    throw new WeftError('WEFT1001', `${source} is not YAML`, { cause: error });
  }
  return section(source, value);
}

function section(source: string, value: unknown): YamlObject {
  if (value === undefined || value === null) return {};
  if (typeof value !== 'object' || Array.isArray(value)) {
    throw new WeftError('WEFT1001', `${source}: expected an object`);
  }
  return value as YamlObject; // YAML keys of an object are strings here
}

function readKeys(source: string, config: YamlObject): Omit<ProxyConfig, 'proxyMetadata'> {
  const refuse = (key: string, expected: string): never => {
    throw new WeftError('WEFT1001', `${source}: ${key}: expected ${expected}`);
  };
  const integer = <K extends string>(key: K, max: number): Partial<Record<K, number>> => {
    const value = config[key] ?? undefined;
    if (value === undefined) return {};
    if (typeof value !== 'number' || !Number.isInteger(value) || value < 0 || value > max) {
      return refuse(key, `a whole number up to ${max}`);
    }
    return { [key]: value } as Partial<Record<K, number>>; // a computed key widens to any string
  };
  const address = config['discoveryAddress'] ?? undefined;
  if (address !== undefined && typeof address !== 'string') return refuse('discoveryAddress', 'a text');
  return {
    ...(address === undefined ? {} : { discoveryAddress: address }),
    ...integer('proxyAdminPort', 65_535),
    ...integer('statsPort', 65_535),
    ...integer('concurrency', 1_024),
  };
}

/** Written as environment variables there, `ISTIO_META_DNS_CAPTURE`; the prefix is only how they got to the proxy. */
function metadata(source: string, config: YamlObject): Readonly<Record<string, string>> {
  const entries = Object.entries(section(`${source}: proxyMetadata`, config['proxyMetadata']));
  return Object.fromEntries(
    entries.map(([key, value]) => {
      if (typeof value !== 'string' && typeof value !== 'number' && typeof value !== 'boolean') {
        throw new WeftError('WEFT1001', `${source}: proxyMetadata.${key}: expected a text`);
      }
      return [key.replace(/^ISTIO_META_/, ''), String(value)];
    }),
  );
}
