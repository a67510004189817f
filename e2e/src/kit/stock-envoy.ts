import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';

/** The end of what Envoy wrote, for the message when something fails. */
const OUTPUT_KEPT = 4_000;

export interface StockEnvoyOptions {
  readonly binary: string;
  /** Of files and sockets; the caller removes it. */
  readonly directory: string;
  /** Sockets of ADS and of SDS. */
  readonly adsSocket: string;
  readonly sdsSocket: string;
  readonly apiType: 'DELTA_GRPC' | 'GRPC';
  /** Of the pod that it says it is: an instance of the Gateway. */
  readonly gateway: { readonly namespace: string; readonly name: string };
}

/** An unchanged Envoy as a waypoint's proxy, in a network namespace of its own, reached by sockets in the file system. */
export class StockEnvoy {
  private readonly child: ChildProcess;
  private readonly adminSocket: string;
  private readonly outputFile: string;

  constructor(options: StockEnvoyOptions) {
    this.adminSocket = join(options.directory, 'admin.sock');
    const file = join(options.directory, 'bootstrap.json');
    writeFileSync(file, JSON.stringify(bootstrap(options, this.adminSocket)));
    const args = ['--disable-hot-restart', '--concurrency', '1', '--log-level', 'warn', '-c', file];
    // Its listeners' ports are those of a pod.
    // Its output is a file because access logs open /dev/stdout, which can't be done with a socket.
    this.outputFile = join(options.directory, 'output.log');
    const output = openSync(this.outputFile, 'a');
    this.child = spawn('unshare', ['-Urn', '--kill-child', options.binary, ...args], {
      stdio: ['ignore', output, output],
    });
    closeSync(output);
  }

  /** What it wrote last. */
  get log(): string {
    return readFileSync(this.outputFile, 'utf8').slice(-OUTPUT_KEPT);
  }

  /** `LIVE` once everything that it waited for has come; undefined while it doesn't answer. */
  async state(): Promise<string | undefined> {
    const info = await this.admin('/server_info').catch(() => undefined);
    return info === undefined ? undefined : (JSON.parse(info) as { readonly state: string }).state; // Envoy's own API
  }

  async stats(filter: string): Promise<Readonly<Record<string, number>>> {
    const text = await this.admin(`/stats?filter=${encodeURIComponent(filter)}`);
    const lines = text.split('\n').filter((line) => line !== '');
    return Object.fromEntries(
      lines.map((line) => {
        const colon = line.lastIndexOf(': ');
        return [line.slice(0, colon), Number(line.slice(colon + 2))];
      }),
    );
  }

  /** Names in Envoy's own order. */
  async clusters(): Promise<readonly string[]> {
    const { dynamic_active_clusters: active = [] } = await this.dump<{
      readonly dynamic_active_clusters?: readonly { readonly cluster: { readonly name: string } }[];
    }>('dynamic_active_clusters');
    return active.map(({ cluster }) => cluster.name);
  }

  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }

  private async dump<T>(resource: string): Promise<T> {
    const text = await this.admin(`/config_dump?resource=${resource}`);
    const { configs = [] } = JSON.parse(text) as { readonly configs?: readonly unknown[] }; // Envoy's own API
    return { [resource]: configs } as T; // as its caller knows that resource
  }

  private admin(path: string): Promise<string> {
    return new Promise((resolve, reject) => {
      request({ socketPath: this.adminSocket, path, agent: false }, (response) => {
        let body = '';
        response.setEncoding('utf8');
        response.on('data', (chunk: string) => (body += chunk));
        response.on('end', () => resolve(body));
        response.on('error', reject);
      })
        .on('error', reject)
        .end();
    });
  }
}

function bootstrap(o: StockEnvoyOptions, adminSocket: string): unknown {
  const { namespace, name } = o.gateway;
  const ads = { ads: {}, initial_fetch_timeout: '0s', resource_api_version: 'V3' };
  const http2 = {
    'envoy.extensions.upstreams.http.v3.HttpProtocolOptions': {
      '@type': 'type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions',
      explicit_http_config: { http2_protocol_options: {} },
    },
  };
  const server = (cluster: string, path: string) => ({
    name: cluster,
    type: 'STATIC',
    typed_extension_protocol_options: http2,
    load_assignment: {
      cluster_name: cluster,
      endpoints: [{ lb_endpoints: [{ endpoint: { address: { pipe: { path } } } }] }],
    },
  });
  return {
    node: {
      id: `waypoint~10.0.0.1~${name}-0.${namespace}~${namespace}.svc.cluster.local`,
      cluster: `${name}.${namespace}`,
      metadata: { NAMESPACE: namespace, LABELS: { 'gateway.networking.k8s.io/gateway-name': name } },
    },
    admin: { address: { pipe: { path: adminSocket } } },
    dynamic_resources: {
      ads_config: {
        api_type: o.apiType,
        transport_api_version: 'V3',
        set_node_on_first_message_only: true,
        grpc_services: [{ envoy_grpc: { cluster_name: 'xds-grpc' } }],
      },
      cds_config: ads,
      lds_config: ads,
    },
    static_resources: {
      clusters: [server('xds-grpc', o.adsSocket), server('sds-grpc', o.sdsSocket)],
    },
    bootstrap_extensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typed_config: {
          '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
        },
      },
    ],
  };
}
