import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inNetworkNamespace, type NetworkNamespace } from '@weft/linux';
import { MeshSandbox } from '@weft/ztunnel/testing';
import { HTTP_PORT, IPERF_PORT } from './paths/bench-path.ts';

export const BODY_BYTES = 1_024;
export const LARGE_BODY_BYTES = 100_000_000;
export const LARGE_PATH = '/large';

export interface TestbedOptions {
  readonly envoy: string;
  /** Data threads of each ztunnel, workers of each Envoy and nginx. */
  readonly threads: number;
}

/** Network namespaces, a folder and child processes, with one owner. Lives inside a Sandbox. */
export class Testbed {
  readonly mesh: MeshSandbox;
  readonly folder = mkdtempSync(join(tmpdir(), 'weft-bench-'));
  readonly envoy: string;
  readonly threads: number;
  private readonly children = new Set<ChildProcess>();

  private constructor(mesh: MeshSandbox, { envoy, threads }: TestbedOptions) {
    this.mesh = mesh;
    this.envoy = envoy;
    this.threads = threads;
    process.on('exit', () => this.kill());
  }

  static async create(options: TestbedOptions): Promise<Testbed> {
    return new Testbed(await MeshSandbox.create(), options);
  }

  namespaceOf(pod: string): NetworkNamespace {
    const found = this.mesh.pods.get(pod);
    if (found === undefined) throw new Error(`no pod ${pod}`);
    return found.namespace;
  }

  file(name: string, text: string): string {
    const path = join(this.folder, name);
    writeFileSync(path, text, { mode: 0o600 });
    return path;
  }

  /** What it prints is read and thrown away, as by a container's runtime; its errors are shown. */
  start(namespace: NetworkNamespace, program: string, args: readonly string[]): ChildProcess {
    const child = inNetworkNamespace(namespace, () =>
      spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] }),
    );
    child.once('error', (error) => {
      throw new Error(`${program} can't be started`, { cause: error });
    });
    child.once('exit', () => this.children.delete(child));
    this.children.add(child);
    child.stdout.resume();
    return child;
  }

  async end(child: ChildProcess): Promise<void> {
    if (!this.children.has(child)) return;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGTERM');
    await ended;
  }

  /** nginx with 1 KB and 100 MB, and iperf3. */
  serveIn(namespace: NetworkNamespace, name: string): void {
    const { folder } = this;
    truncateSync(this.file('large', ''), LARGE_BODY_BYTES);
    const config = this.file(
      `${name}.conf`,
      `user root; daemon off; master_process off; worker_processes 1; worker_rlimit_nofile 65536; pid ${folder}/${name}.pid; error_log /dev/null;
events { worker_connections 16384; }
http {
  access_log off; client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
  uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi; keepalive_requests 100000000; keepalive_timeout 1h; sendfile on;
  server {
    listen ${HTTP_PORT} backlog=4096;
    location / { return 200 "${'x'.repeat(BODY_BYTES)}"; }
    location = ${LARGE_PATH} { root ${folder}; }
  }
}`,
    );
    this.start(namespace, 'nginx', ['-c', config, '-e', '/dev/null']);
    this.start(namespace, 'iperf3', ['-s', '-p', String(IPERF_PORT)]);
  }

  async stop(): Promise<void> {
    this.kill();
    await this.mesh.stop();
  }

  private kill(): void {
    // Not SIGKILL, which would leave nginx's workers behind.
    for (const child of this.children) child.kill('SIGTERM');
    rmSync(this.folder, { recursive: true, force: true });
  }
}
