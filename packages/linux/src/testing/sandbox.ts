import { fork, type ChildProcess } from 'node:child_process';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

export type SandboxValue =
  | null
  | boolean
  | number
  | string
  | readonly SandboxValue[]
  | { readonly [key: string]: SandboxValue };

interface Answer {
  readonly id: number;
  readonly value?: SandboxValue;
  readonly error?: string;
}

/**
 * A process in user, mount and network namespaces of its own, so that tests have the rights of root there
 * whoever runs them. It calls functions exported by a scenario module; arguments and results are plain values.
 */
export class Sandbox {
  private readonly child: ChildProcess;
  private readonly waiting = new Map<
    number,
    { resolve: (v: SandboxValue) => void; reject: (e: Error) => void }
  >();
  private nextId = 1;

  private constructor(child: ChildProcess) {
    this.child = child;
    child.on('message', (message) => {
      const { id, value, error } = message as Answer; // only sandbox-host.ts writes to this channel
      const call = this.waiting.get(id);
      this.waiting.delete(id);
      if (error === undefined) call?.resolve(value ?? null);
      else call?.reject(new Error(error));
    });
    child.on('exit', (code, signal) => {
      for (const { reject } of this.waiting.values()) reject(new Error(`sandbox ended: ${code ?? signal}`));
      this.waiting.clear();
    });
  }

  /** Why a sandbox can't be had on this machine, or undefined. */
  static get unavailable(): string | undefined {
    const probe = spawnSync('unshare', ['-Urnm', 'true'], { encoding: 'utf8' });
    if (probe.error) return 'unshare (util-linux) is not installed';
    return probe.status === 0 ? undefined : `user namespaces are not allowed: ${probe.stderr.trim()}`;
  }

  /** Starts the scenario module (a compiled one: pass the URL of its `.js`). */
  static start(scenario: URL): Sandbox {
    const host = fileURLToPath(new URL('./sandbox-host.js', import.meta.url));
    const child = fork(host, [scenario.href], {
      // Jest gives each file a process.env of its own, which isn't the one that children inherit.
      env: process.env,
      execPath: 'unshare',
      execArgv: ['-Urnm', process.execPath],
      // JSON would say null for a number that couldn't be measured.
      serialization: 'advanced',
    });
    return new Sandbox(child);
  }

  call(name: string, ...args: SandboxValue[]): Promise<SandboxValue> {
    return new Promise((resolve, reject) => {
      if (!this.child.connected) return reject(new Error('the sandbox has ended'));
      const id = this.nextId++;
      this.waiting.set(id, { resolve, reject });
      this.child.send({ id, name, args });
    });
  }

  /** Ends the process; its namespaces go with it. */
  async stop(): Promise<void> {
    if (this.child.exitCode !== null || this.child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.child.once('exit', () => resolve()));
    this.child.disconnect();
    await ended;
  }
}
