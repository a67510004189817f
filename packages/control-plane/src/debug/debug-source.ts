import {
  type ConnectionStatus,
  type ResourceSource,
  type VersionedResource,
  versionedResource,
} from '@weft/xds';
import { type ProxyDumpOptions, encodeSection, proxyDump } from './proxy-dump.ts';
import { CLIENT_CONFIG_TYPE_URL, clientConfig } from './sync-status.ts';

/** What operators ask over xDS: computed for each request, never pushed. */
class AskedSource implements ResourceSource {
  readonly typeUrl: string;
  readonly contentTypeUrl: string;
  readonly isTransient = true;
  private readonly all: () => readonly VersionedResource[];
  private readonly named: (name: string) => readonly VersionedResource[];

  constructor(o: {
    readonly typeUrl: string;
    readonly contentTypeUrl: string;
    readonly all: () => readonly VersionedResource[];
    readonly named: (name: string) => readonly VersionedResource[];
  }) {
    this.typeUrl = o.typeUrl;
    this.contentTypeUrl = o.contentTypeUrl;
    this.all = o.all;
    this.named = o.named;
  }

  list(): Iterable<VersionedResource> {
    return this.all();
  }

  get(name: string): VersionedResource | undefined {
    return this.named(name)[0];
  }

  resolve(name: string): readonly VersionedResource[] {
    return this.named(name);
  }

  subscribe(): () => void {
    return () => undefined;
  }
}

/** `istio.io/debug/syncz`: what each proxy has. */
export function syncSource(connections: () => readonly ConnectionStatus[]): ResourceSource {
  const all = (): readonly VersionedResource[] =>
    connections().map((status) => versionedResource(status.id, Buffer.from(clientConfig(status))));
  return new AskedSource({
    typeUrl: 'istio.io/debug/syncz',
    contentTypeUrl: CLIENT_CONFIG_TYPE_URL,
    all,
    named: (name) => all().filter((resource) => resource.name === name),
  });
}

/** `istio.io/debug`: the pages of port 15014 by name, `syncz` or `registryz?namespace=shop`. */
export function pageSource(page: (name: string) => unknown): ResourceSource {
  const typeUrl = 'istio.io/debug';
  return new AskedSource({
    typeUrl,
    contentTypeUrl: typeUrl,
    all: () => [],
    named: (name) => {
      const content = page(name);
      return content === undefined ? [] : [versionedResource(name, Buffer.from(JSON.stringify(content)))];
    },
  });
}

/** `istio.io/debug/config_dump`: of the proxy `pod.namespace` that is asked for, each section a message. */
export function configDumpSource(options: ProxyDumpOptions): ResourceSource {
  const typeUrl = 'istio.io/debug/config_dump';
  return new AskedSource({
    typeUrl,
    contentTypeUrl: typeUrl,
    all: () => [],
    named: (name) =>
      (proxyDump(options, name) ?? []).map(encodeSection).map(({ typeUrl: section, bytes }) => ({
        ...versionedResource(`${name}/${section}`, bytes),
        typeUrl: section,
      })),
  });
}
