import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { stringify } from 'yaml';
import { engineCommand, freePorts, ProxyChild } from '../proxy-child.ts';
import { bootstrap, listenerNames, type ListenerName, type UpstreamPorts } from './config.ts';

export const peers = ['weft', 'envoy'] as const;
export type Peer = (typeof peers)[number];

/** One of the two proxies as a process of its own. */
export class ProxyProcess {
  readonly peer: Peer;
  readonly accessLog: string;
  readonly ports: Readonly<Record<ListenerName, number>>;
  private readonly child: ProxyChild;

  private constructor(peer: Peer, child: ProxyChild, ports: Record<ListenerName, number>, log: string) {
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
    const command =
      peer === 'weft'
        ? engineCommand(file, admin)
        : { command: o.envoy, args: envoyArgs(file), adminPort: admin };
    return new ProxyProcess(peer, await ProxyChild.start(command), ports, accessLog);
  }

  get alive(): boolean {
    return this.child.alive;
  }

  async stop(): Promise<void> {
    await this.child.stop();
  }
}

function envoyArgs(file: string): readonly string[] {
  const options = ['--concurrency', '1', '--disable-hot-restart', '--log-level', 'warn', '-c', file];
  return [...options, '--file-flush-interval-msec', '50'];
}
