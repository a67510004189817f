import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { engineCommand, freePorts, ProxyChild } from './proxy-child.ts';
import { listener, routeTable, staticCluster } from './resources.ts';

const type = (name: string): string => `type.googleapis.com/envoy.extensions.filters.${name}`;
/** Nothing can listen there. */
const CLOSED_PORT = 1;
/** In which a smuggled request would have reached the upstream. */
const QUIET_MS = 40;
/** Long, for a machine may be busy: nothing is judged by how fast it is. */
const GIVE_UP_MS = 60_000;
/** Of a test that waits by `until`. */
export const TEST_TIMEOUT_MS = 2 * GIVE_UP_MS;
const LARGE_BYTES = 64 * 1024 * 1024;
const MEDIUM_BYTES = 2 * 1024 * 1024;

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: readonly string[];
  body: string;
}

/** GET is allowed but below /admin, everything else is denied; /jwt wants a token whose keys can't be had. */
function bootstrap(ports: {
  readonly upstream: number;
  readonly listen: number;
  readonly admin: number;
}): object {
  const manager = {
    '@type': type('network.http_connection_manager.v3.HttpConnectionManager'),
    stat_prefix: 'hostile',
    normalize_path: true,
    merge_slashes: true,
    path_with_escaped_slashes_action: 'UNESCAPE_AND_FORWARD',
    request_headers_timeout: '0.3s',
    stream_idle_timeout: '0.5s',
    route_config: routeTable('hostile', [{ match: { prefix: '/' }, route: { cluster: 'app' } }]),
    http_filters: [
      {
        name: 'jwt',
        typed_config: {
          '@type': type('http.jwt_authn.v3.JwtAuthentication'),
          providers: {
            p: {
              issuer: 'me',
              remote_jwks: { http_uri: { uri: 'http://keys.test/', cluster: 'jwks', timeout: '1s' } },
            },
          },
          rules: [{ match: { prefix: '/jwt' }, requires: { provider_name: 'p' } }],
        },
      },
      {
        name: 'rbac',
        typed_config: {
          '@type': type('http.rbac.v3.RBAC'),
          rules: {
            action: 'ALLOW',
            policies: {
              read: {
                permissions: [
                  {
                    and_rules: {
                      rules: [
                        { header: { name: ':method', string_match: { exact: 'GET' } } },
                        { not_rule: { url_path: { path: { prefix: '/admin' } } } },
                      ],
                    },
                  },
                ],
                principals: [{ any: true }],
              },
            },
          },
        },
      },
      { name: 'router', typed_config: { '@type': type('http.router.v3.Router') } },
    ],
  };
  const chain = { filters: [{ name: 'http', typed_config: manager }] };
  return {
    admin: { address: { socket_address: { address: '127.0.0.1', port_value: ports.admin } } },
    static_resources: {
      clusters: [staticCluster('app', ports.upstream), staticCluster('jwks', CLOSED_PORT)],
      listeners: [
        listener('http', [chain], {
          address: { socket_address: { address: '127.0.0.1', port_value: ports.listen } },
        }),
      ],
    },
  };
}

/** A proxy with that policy, in a process of its own, and an upstream that writes down what reaches it. */
export class HostileSetup {
  readonly seen: SeenRequest[] = [];
  readonly port: number;
  private readonly proxy: ProxyChild;
  private readonly clients = new Set<Socket>();
  private readonly stopUpstream: () => void;

  private constructor(proxy: ProxyChild, port: number, seen: SeenRequest[], stopUpstream: () => void) {
    this.proxy = proxy;
    this.port = port;
    this.seen = seen;
    this.stopUpstream = stopUpstream;
  }

  static async start(): Promise<HostileSetup> {
    const seen: SeenRequest[] = [];
    const bodies: Readonly<Record<string, Buffer>> = {
      '/large': Buffer.alloc(LARGE_BYTES),
      '/medium': Buffer.alloc(MEDIUM_BYTES),
    };
    const upstream = createServer((request, response) => {
      const { method = '', url = '', rawHeaders } = request;
      const entry: SeenRequest = { method, path: url, headers: rawHeaders, body: '' };
      seen.push(entry);
      request.on('data', (part: Buffer) => {
        entry.body += part.toString('latin1');
      });
      request.on('end', () => response.end(bodies[url] ?? 'served'));
    });
    await new Promise<void>((resolve) => {
      upstream.listen(0, '127.0.0.1', resolve);
    });
    const { port } = upstream.address() as AddressInfo; // a TCP server's address is always this
    const [listen = 0, admin = 0] = await freePorts(2);
    const directory = mkdtempSync(join(tmpdir(), 'weft-hostile-'));
    try {
      const file = join(directory, 'bootstrap.json');
      writeFileSync(file, JSON.stringify(bootstrap({ upstream: port, listen, admin })));
      const proxy = await ProxyChild.start(engineCommand(file, admin));
      return new HostileSetup(proxy, listen, seen, () => {
        upstream.closeAllConnections();
        upstream.close();
      });
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async stop(): Promise<void> {
    this.disconnect();
    await this.proxy.stop();
    this.stopUpstream();
  }

  disconnect(): void {
    for (const client of this.clients) client.destroy();
    this.clients.clear();
  }

  /** How many connections and requests of clients the proxy believes to have. */
  async active(): Promise<{ readonly connections: number; readonly requests: number }> {
    const page = (await this.proxy.ask('/stats?filter=http.hostile.downstream')) ?? '';
    const gauge = (name: string): number => Number(new RegExp(`_${name}_active: (\\d+)`).exec(page)?.[1]);
    return { connections: gauge('cx'), requests: gauge('rq') };
  }

  async isIdle(): Promise<boolean> {
    const { connections, requests } = await this.active();
    return connections === 0 && requests === 0;
  }

  open(): RawClient {
    const socket = connect({ host: '127.0.0.1', port: this.port, allowHalfOpen: true });
    this.clients.add(socket);
    return new RawClient(socket);
  }

  /** Sends bytes on a connection of their own; everything that came back. */
  async send(bytes: string | Buffer): Promise<string> {
    const client = this.open();
    client.write(bytes);
    await client.answered();
    client.socket.destroy();
    return client.received;
  }

  async statuses(bytes: string | Buffer): Promise<number[]> {
    return statusesOf(await this.send(bytes));
  }
}

export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.1 (\d{3}) /g)].map((match) => Number(match[1]));
}

/** Bytes to and from a proxy, as they are. */
export class RawClient {
  readonly socket: Socket;
  private readonly chunks: Buffer[] = [];
  bytes = 0;
  closed = false;

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      this.chunks.push(chunk);
    });
    socket.on('end', () => {
      this.closed = true;
      socket.end();
    });
    socket.on('close', () => {
      this.closed = true;
    });
  }

  get received(): string {
    return this.receivedBytes.toString('latin1');
  }

  get receivedBytes(): Buffer {
    return Buffer.concat(this.chunks);
  }

  write(bytes: string | Buffer): void {
    if (this.socket.writable)
      this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes);
  }

  /** Something came, or the end, and then nothing more. */
  async answered(): Promise<void> {
    await until(() => this.closed || this.bytes > 0);
    for (let before = -1; before !== this.bytes && !this.closed; ) {
      before = this.bytes;
      await pause(QUIET_MS);
    }
    if (this.closed) await pause(QUIET_MS);
  }
}

export async function pause(ms: number): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, ms));
}

export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + GIVE_UP_MS;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await pause(5);
  }
}
