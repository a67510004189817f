import grpc from '@grpc/grpc-js';
import { envoyFromJson } from '@weft/api/envoy-json';
import { LogLevels, createLogger } from '@weft/telemetry';
import { DeltaServer, MemorySource, deltaServerChannelOptions, versionedResource } from '@weft/xds';

const KINDS = {
  clusters: 'envoy.config.cluster.v3.Cluster',
  endpoints: 'envoy.config.endpoint.v3.ClusterLoadAssignment',
  listeners: 'envoy.config.listener.v3.Listener',
  routes: 'envoy.config.route.v3.RouteConfiguration',
  secrets: 'envoy.extensions.transport_sockets.tls.v3.Secret',
} as const;
export type ResourceKind = keyof typeof KINDS;

/** An ADS server on loopback, whose resources are ProtoJSON. */
export class TestAdsServer {
  readonly port: number;
  /** Warnings, NACKs among them. */
  readonly log: string[];
  private readonly server: DeltaServer<string>;
  private readonly grpcServer: grpc.Server;
  private readonly sources: Readonly<Record<ResourceKind, MemorySource>>;

  private constructor(o: {
    readonly port: number;
    readonly log: string[];
    readonly server: DeltaServer<string>;
    readonly grpcServer: grpc.Server;
    readonly sources: Readonly<Record<ResourceKind, MemorySource>>;
  }) {
    this.port = o.port;
    this.log = o.log;
    this.server = o.server;
    this.grpcServer = o.grpcServer;
    this.sources = o.sources;
  }

  static async start(): Promise<TestAdsServer> {
    const source = (kind: ResourceKind) => new MemorySource(`type.googleapis.com/${KINDS[kind]}`);
    const sources = {
      clusters: source('clusters'),
      endpoints: source('endpoints'),
      listeners: source('listeners'),
      routes: source('routes'),
      secrets: source('secrets'),
    };
    const log: string[] = [];
    const server = new DeltaServer<string>({
      types: Object.values(sources).map((s) => ({ source: s })),
      authenticate: async () => 'test',
      debounceMs: 1,
      logger: createLogger({
        scope: 'ads',
        levels: new LogLevels('warn'),
        sink: { write: (line) => void log.push(line), flush: () => undefined },
      }),
    });
    const grpcServer = new grpc.Server(deltaServerChannelOptions);
    server.addTo(grpcServer);
    const port = await new Promise<number>((resolve, reject) => {
      grpcServer.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) => {
        if (error === null) resolve(bound);
        else reject(error);
      });
    });
    return new TestAdsServer({ port, log, server, grpcServer, sources });
  }

  set(kind: ResourceKind, ...resources: readonly object[]): void {
    this.sources[kind].update({
      upserted: resources.map((json) => {
        const name: unknown = Reflect.get(json, kind === 'endpoints' ? 'cluster_name' : 'name');
        return versionedResource(String(name), envoyFromJson(KINDS[kind], json));
      }),
    });
  }

  remove(kind: ResourceKind, ...names: readonly string[]): void {
    this.sources[kind].update({ removed: names });
  }

  stop(): void {
    this.server.close();
    this.grpcServer.forceShutdown();
  }
}
