import {
  type ConnectionStatus,
  type ResourceSource,
  type VersionedResource,
  versionedResource,
} from '@weft/xds';
import { CLIENT_CONFIG_TYPE_URL, clientConfig } from './sync-status.ts';

/** What operators ask over xDS: computed for each request, never pushed. */
class AskedSource implements ResourceSource {
  readonly typeUrl: string;
  readonly contentTypeUrl: string;
  readonly isTransient = true;
  private readonly all: () => readonly VersionedResource[];
  private readonly one: (name: string) => VersionedResource | undefined;

  constructor(o: {
    readonly typeUrl: string;
    readonly contentTypeUrl: string;
    readonly all: () => readonly VersionedResource[];
    readonly one: (name: string) => VersionedResource | undefined;
  }) {
    this.typeUrl = o.typeUrl;
    this.contentTypeUrl = o.contentTypeUrl;
    this.all = o.all;
    this.one = o.one;
  }

  list(): Iterable<VersionedResource> {
    return this.all();
  }

  get(name: string): VersionedResource | undefined {
    return this.one(name);
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
    one: (name) => all().find((resource) => resource.name === name),
  });
}

/** `istio.io/debug`: the pages of port 15014 by name, `syncz` or `registryz?namespace=shop`. */
export function pageSource(page: (name: string) => unknown): ResourceSource {
  const typeUrl = 'istio.io/debug';
  return new AskedSource({
    typeUrl,
    contentTypeUrl: typeUrl,
    all: () => [],
    one: (name) => {
      const content = page(name);
      return content === undefined
        ? undefined
        : versionedResource(name, Buffer.from(JSON.stringify(content)));
    },
  });
}
