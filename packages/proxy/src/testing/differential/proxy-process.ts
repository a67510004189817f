import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { bootstrap, listenerNames, type ListenerName, type UpstreamPorts } from './config.ts';

const READY_TIMEOUT_MS = 20_000;
const POLL_MS = 50;
/** The end of what a process wrote, for the message when it doesn't start. */
const OUTPUT_KEPT = 4_000;
const engine = fileURLToPath(new URL('../../main.js', import.meta.url));

export const peers = ['weft', 'envoy'] as const;
export type Peer = (typeof peers)[number];

/** One of the two proxies as a process of its own. */
export class ProxyProcess {
  readonly peer: Peer;
  readonly accessLog: string;
  readonly ports: Readonly<Record<ListenerName, number>>;
  private readonly child: ChildProcess;

  private constructor(peer: Peer, child: ChildProcess, ports: Record<ListenerName, number>, log: string) {
    this.peer = peer;
    this.child = child;
    this.ports = ports;
    this.accessLog = log;
  }

  /** Both get the same text but for the ports they listen on and the file they log to. */
  static async start(
    peer: Peer,
    o: { readonly envoy: string; readonly directory: string; readonly upstreams: UpstreamPorts },
  ): Promise<ProxyProcess> {
    const [admin = 0, ...listen] = await freePorts(1 + listenerNames.length);
    const ports = Object.fromEntries(listenerNames.map((name, i) => [name, listen[i] ?? 0])) as Record<
      ListenerName,
      number
    >; // every name has got its port
    const accessLog = join(o.directory, `${peer}.log`);
    const file = join(o.directory, `${peer}.yaml`);
    writeFileSync(accessLog, '');
    writeFileSync(
      file,
      stringify(bootstrap({ admin, listen: ports, upstreams: o.upstreams, accessLog }), {
        aliasDuplicateObjects: false,
        // Envoy reads YAML 1.1, in which a bare `yes` is a boolean.
        defaultStringType: 'QUOTE_DOUBLE',
      }),
    );
    const [command, args] =
      peer === 'weft'
        ? ([process.execPath, [engine, '--bootstrap', file, '--log-level', 'warn']] as const)
        : ([
            o.envoy,
            ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '-c', file].concat(
              '--file-flush-interval-msec',
              '50',
            ),
          ] as const);
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    const keep = (chunk: Buffer): void => {
      output = (output + chunk.toString()).slice(-OUTPUT_KEPT);
    };
    child.stdout.on('data', keep);
    child.stderr.on('data', keep);
    const running = new ProxyProcess(peer, child, ports, accessLog);
    const deadline = Date.now() + READY_TIMEOUT_MS;
    while (!(await isReady(admin))) {
      if (child.exitCode !== null || Date.now() > deadline) {
        await running.stop();
        throw new Error(`${peer} does not serve its configuration:\n${output}`);
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
    return running;
  }

  get alive(): boolean {
    return this.child.exitCode === null && this.child.signalCode === null;
  }

  async stop(): Promise<void> {
    if (!this.alive) return;
    const gone = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await gone;
  }
}

async function isReady(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    get({ host: '127.0.0.1', port, path: '/ready', agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    }).on('error', () => resolve(false));
  });
}

/** Ports that nobody listens on now. */
export async function freePorts(count: number): Promise<readonly number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'));
  await Promise.all(servers.map((server) => once(server, 'listening')));
  const ports = servers.map((server) => (server.address() as AddressInfo).port); // a TCP server's address is always this
  await Promise.all(servers.map((server) => once(server.close(), 'close')));
  return ports;
}
