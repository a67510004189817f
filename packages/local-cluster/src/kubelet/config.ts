import { readFileSync } from 'node:fs';
import { WeftError } from '@weft/telemetry';

/** What the launcher tells a kubelet, as a JSON file whose path is the only argument of kubelet/main.js. */
export interface KubeletConfig {
  readonly nodeName: string;
  /** Address of the node on the cluster's bridge. */
  readonly nodeIp: string;
  /** This node's share of the pod network, such as `10.244.1.0/24`. */
  readonly podCidr: string;
  readonly apiServer: {
    readonly url: string;
    readonly caFile: string;
    readonly clientCertFile: string;
    readonly clientKeyFile: string;
  };
  /** The image table: `{ images: [{ pattern, command, args?, env?, binds?, workingDir? }] }`. Re-read when it changes. */
  readonly imagesFile: string;
  /** Where logs, exec, attach and port-forward are served, on `nodeIp`, over HTTP. */
  readonly kubeletPort: number;
  /** Secret that the API server sends as `x-weft-kubelet-token`. */
  readonly kubeletToken: string;
  /** Address of the cluster's DNS service. */
  readonly clusterDns: string;
  readonly clusterDomain: string;
  /** Restart back-off of containers: 10 s doubling to 5 minutes unless told otherwise. */
  readonly restartBackoff?: { readonly initialMs: number; readonly maxMs: number };
  /** True inside a user namespace, where uids other than 0 may not exist and cgroups are not ours. */
  readonly rootless: boolean;
  /** Extra labels of the Node, such as `topology.kubernetes.io/zone`. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** Reads and checks a config file. Throws WEFT2060 naming the field at fault. */
export function loadKubeletConfig(path: string): KubeletConfig {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, 'utf8'));
  } catch (error) {
    throw new WeftError('WEFT2060', `${path} can't be read`, { cause: error });
  }
  return parseKubeletConfig(parsed, path);
}

export function parseKubeletConfig(value: unknown, source = 'config'): KubeletConfig {
  const root = new Fields(value, source);
  const apiServer = new Fields(root.value('apiServer'), `${source}: apiServer`);
  const backoff = root.has('restartBackoff')
    ? new Fields(root.value('restartBackoff'), `${source}: restartBackoff`)
    : undefined;
  const labels = root.has('labels') ? root.stringMap('labels') : undefined;
  return {
    nodeName: root.string('nodeName'),
    nodeIp: root.string('nodeIp'),
    podCidr: root.string('podCidr'),
    apiServer: {
      url: apiServer.string('url'),
      caFile: apiServer.string('caFile'),
      clientCertFile: apiServer.string('clientCertFile'),
      clientKeyFile: apiServer.string('clientKeyFile'),
    },
    imagesFile: root.string('imagesFile'),
    kubeletPort: root.number('kubeletPort'),
    kubeletToken: root.string('kubeletToken'),
    clusterDns: root.string('clusterDns'),
    clusterDomain: root.string('clusterDomain'),
    rootless: root.boolean('rootless'),
    ...(backoff === undefined
      ? {}
      : { restartBackoff: { initialMs: backoff.number('initialMs'), maxMs: backoff.number('maxMs') } }),
    ...(labels === undefined ? {} : { labels }),
  };
}

/** Typed reads of one JSON object; every failure names the field. */
class Fields {
  private readonly object: Readonly<Record<string, unknown>>;
  private readonly source: string;

  constructor(value: unknown, source: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new WeftError('WEFT2060', `${source}: expected an object`);
    }
    this.object = value as Record<string, unknown>; // any non-array object has string keys
    this.source = source;
  }

  has(name: string): boolean {
    return this.object[name] !== undefined;
  }

  value(name: string): unknown {
    return this.object[name];
  }

  string(name: string): string {
    const value = this.object[name];
    if (typeof value === 'string' && value !== '') return value;
    throw this.wrong(name, 'a non-empty string');
  }

  number(name: string): number {
    const value = this.object[name];
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw this.wrong(name, 'a number');
  }

  boolean(name: string): boolean {
    const value = this.object[name];
    if (typeof value === 'boolean') return value;
    throw this.wrong(name, 'true or false');
  }

  stringMap(name: string): Record<string, string> {
    const value = this.object[name];
    if (typeof value !== 'object' || value === null) throw this.wrong(name, 'an object of strings');
    const map: Record<string, string> = {};
    for (const [key, entry] of Object.entries(value)) {
      if (typeof entry !== 'string') throw this.wrong(`${name}.${key}`, 'a string');
      map[key] = entry;
    }
    return map;
  }

  private wrong(name: string, expected: string): WeftError {
    return new WeftError('WEFT2060', `${this.source}: ${name}: expected ${expected}`);
  }
}
