import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { get } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { fileURLToPath } from 'node:url';

const READY_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
/** The end of what a process wrote, for the message when it doesn't start. */
const OUTPUT_KEPT = 4_000;
const engine = fileURLToPath(new URL('../main.js', import.meta.url));

export interface ChildCommand {
  readonly command: string;
  readonly args: readonly string[];
  /** Where its admin interface says that it is ready. */
  readonly adminPort: number;
}

/** Runs the engine with a bootstrap file. */
export function engineCommand(bootstrapFile: string, adminPort: number): ChildCommand {
  const args = [engine, '--bootstrap', bootstrapFile, '--log-level', 'warn'];
  return { command: process.execPath, args, adminPort };
}

/** A proxy as a process of its own. */
export class ProxyChild {
  private readonly child: ChildProcess;
  private readonly adminPort: number;

  private constructor(child: ChildProcess, adminPort: number) {
    this.child = child;
    this.adminPort = adminPort;
  }

  /** @throws when it doesn't serve its configuration soon */
  static async start({ command, args, adminPort }: ChildCommand): Promise<ProxyChild> {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_KEPT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const running = new ProxyChild(child, adminPort);
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while ((await running.ask('/ready')) === undefined) {
      if (!running.alive || Date.now() > deadline) {
        await running.stop();
        throw new Error(`${command} does not serve its configuration:\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return running;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  /** What a page of the admin interface says; undefined without a 200. */
  async ask(path: string): Promise<string | undefined> {
    return new Promise((resolve) => {
      get({ host: '127.0.0.1', port: this.adminPort, path, agent: false }, (response) => {
        let text = '';
        response.setEncoding('utf8');
        response.on('data', (part: string) => {
          text += part;
        });
        response.on('end', () => resolve(response.statusCode === 200 ? text : undefined));
      }).on('error', () => resolve(undefined));
    });
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port); // a TCP server's address is always this
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
