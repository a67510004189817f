import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { delimiter, dirname, isAbsolute, join } from 'node:path';
import { WeftError, systemErrorCode } from '@weft/telemetry';
import { parse } from 'yaml';
import type { ClusterConnection } from './connection.ts';

export interface KubeConfigOptions {
  /** As `--kubeconfig`: this file and no other. */
  readonly path?: string | undefined;
  readonly context?: string | undefined;
  readonly env?: Readonly<Record<string, string | undefined>>;
}

/**
 * A connection by kubectl's rules: the given path, else the files of `KUBECONFIG` (for each entry and for the
 * current context the first file wins), else `~/.kube/config`.
 * @throws WEFT1013 when a file, context or entry is missing or malformed, or needs a credential plugin
 */
export function loadKubeConfig(o: KubeConfigOptions = {}): ClusterConnection {
  const config = merge(kubeConfigPaths(o).map(({ path, required }) => readKubeConfig(path, required)));
  const contextName = o.context ?? config.currentContext;
  if (contextName === undefined || contextName === '') {
    throw new WeftError('WEFT1013', `no current context in ${describePaths(o)}`);
  }
  const context = entry(config.contexts, contextName, 'context');
  const cluster = entry(config.clusters, text(context.value, 'cluster', context.origin) ?? '', 'cluster');
  const userName = text(context.value, 'user', context.origin) ?? '';
  const user = userName === '' ? undefined : entry(config.users, userName, 'user');

  const server = text(cluster.value, 'server', cluster.origin);
  if (server === undefined || !/^https?:\/\//.test(server)) {
    throw new WeftError('WEFT1013', `${cluster.origin}: server must be an http or https address`);
  }
  const ca = fileOrData(cluster, 'certificate-authority');
  const serverName = text(cluster.value, 'tls-server-name', cluster.origin);
  const cert = user && fileOrData(user, 'client-certificate');
  const key = user && fileOrData(user, 'client-key');
  const token = user && userToken(user);
  return {
    server,
    namespace: text(context.value, 'namespace', context.origin) ?? 'default',
    context: contextName,
    tls: {
      ...(ca === undefined ? {} : { ca }),
      ...(cert === undefined ? {} : { cert }),
      ...(key === undefined ? {} : { key }),
      ...(serverName === undefined ? {} : { serverName }),
      ...(cluster.value['insecure-skip-tls-verify'] === true ? { skipVerify: true } : {}),
    },
    ...(token === undefined ? {} : { token }),
  };
}

/** The files that `loadKubeConfig` would read, in order of precedence. */
export function kubeConfigPaths(
  o: KubeConfigOptions,
): readonly { readonly path: string; readonly required: boolean }[] {
  if (o.path !== undefined && o.path !== '') return [{ path: o.path, required: true }];
  const env = o.env ?? process.env;
  const listed = (env['KUBECONFIG'] ?? '').split(delimiter).filter((p) => p !== '');
  if (listed.length > 0) return listed.map((path) => ({ path, required: listed.length === 1 }));
  return [{ path: join(env['HOME'] ?? homedir(), '.kube', 'config'), required: true }];
}

type Fields = Readonly<Record<string, unknown>>;
interface Entry {
  readonly value: Fields;
  /** `file: user "name"`, for messages. */
  readonly origin: string;
  /** Relative file names in an entry count from its file's directory. */
  readonly directory: string;
}
interface KubeConfig {
  readonly currentContext: string | undefined;
  readonly contexts: ReadonlyMap<string, Entry>;
  readonly clusters: ReadonlyMap<string, Entry>;
  readonly users: ReadonlyMap<string, Entry>;
}

function readKubeConfig(path: string, required: boolean): KubeConfig {
  let source: string;
  try {
    source = readFileSync(path, 'utf8');
  } catch (error) {
    if (!required && systemErrorCode(error) === 'ENOENT') source = '';
    else throw new WeftError('WEFT1013', `${path} cannot be read`, { cause: error });
  }
  let document: unknown;
  try {
    document = parse(source);
  } catch (error) {
    throw new WeftError('WEFT1013', `${path} is not YAML`, { cause: error });
  }
  const fields = isFields(document) ? document : {};
  const named = (list: string, field: string): ReadonlyMap<string, Entry> => {
    const found = new Map<string, Entry>();
    const items: unknown = fields[list];
    for (const item of Array.isArray(items) ? items : []) {
      if (!isFields(item) || typeof item['name'] !== 'string') {
        throw new WeftError('WEFT1013', `${path}: every item of ${list} needs a name`);
      }
      const value = item[field];
      const origin = `${path}: ${field} "${item['name']}"`;
      if (!found.has(item['name'])) {
        found.set(item['name'], { value: isFields(value) ? value : {}, origin, directory: dirname(path) });
      }
    }
    return found;
  };
  return {
    currentContext: text(fields, 'current-context', path),
    contexts: named('contexts', 'context'),
    clusters: named('clusters', 'cluster'),
    users: named('users', 'user'),
  };
}

function merge(configs: readonly KubeConfig[]): KubeConfig {
  const firstWins = (pick: (c: KubeConfig) => ReadonlyMap<string, Entry>): ReadonlyMap<string, Entry> =>
    new Map(configs.toReversed().flatMap((c) => [...pick(c)]));
  return {
    currentContext: configs.map((c) => c.currentContext).find((name) => name !== undefined && name !== ''),
    contexts: firstWins((c) => c.contexts),
    clusters: firstWins((c) => c.clusters),
    users: firstWins((c) => c.users),
  };
}

function entry(entries: ReadonlyMap<string, Entry>, name: string, what: string): Entry {
  const found = entries.get(name);
  if (found === undefined) throw new WeftError('WEFT1013', `the kubeconfig has no ${what} "${name}"`);
  return found;
}

function fileOrData(from: Entry, field: string): string | undefined {
  const data = text(from.value, `${field}-data`, from.origin);
  if (data !== undefined) return Buffer.from(data, 'base64').toString('utf8');
  const file = text(from.value, field, from.origin);
  if (file === undefined || file === '') return undefined;
  return readCredential(from, file);
}

function userToken(user: Entry): (() => string) | undefined {
  for (const plugin of ['exec', 'auth-provider']) {
    if (user.value[plugin] !== undefined && user.value[plugin] !== null) {
      throw new WeftError(
        'WEFT1013',
        `${user.origin}: credential plugins (${plugin}) are not supported; use a token or a client certificate`,
      );
    }
  }
  const file = text(user.value, 'tokenFile', user.origin);
  if (file !== undefined && file !== '') return () => readCredential(user, file).trim();
  const token = text(user.value, 'token', user.origin);
  return token === undefined || token === '' ? undefined : () => token;
}

function readCredential(from: Entry, file: string): string {
  const path = isAbsolute(file) ? file : join(from.directory, file);
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw new WeftError('WEFT1013', `${from.origin}: ${path} cannot be read`, { cause: error });
  }
}

function text(fields: Fields, name: string, origin: string): string | undefined {
  const value = fields[name];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw new WeftError('WEFT1013', `${origin}: ${name} must be a string`);
  return value;
}

function isFields(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function describePaths(o: KubeConfigOptions): string {
  return kubeConfigPaths(o)
    .map((p) => p.path)
    .join(delimiter);
}
