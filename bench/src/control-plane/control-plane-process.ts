import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';

export interface Usage {
  readonly cpuMs: number;
  readonly rssMb: number;
}

export type Question =
  | { readonly kind: 'usage' }
  | { readonly kind: 'serve'; readonly server: string }
  | { readonly kind: 'recompute'; readonly pods: number };

export type Answer =
  | { readonly kind: 'usage'; readonly usage: Usage }
  | { readonly kind: 'ready'; readonly port: number; readonly usage: Usage }
  | { readonly kind: 'recomputed'; readonly cpuMs: number };

/** A process of its own, so that its CPU time and memory are its own. */
export class ControlPlaneProcess {
  private readonly child: ChildProcess;

  constructor() {
    this.child = fork(new URL('./control-plane.process.js', import.meta.url));
  }

  async ask<K extends Answer['kind']>(question: Question, kind: K): Promise<Extract<Answer, { kind: K }>> {
    this.child.send(question);
    const answered = new AbortController();
    const { signal } = answered;
    // One question at a time, so the next message is its answer; an exit without one is a failure.
    const message = await Promise.race([
      once(this.child, 'message', { signal }).then(([answer]) => answer as Answer), // our own child's
      once(this.child, 'exit', { signal }).then(([code]): never => {
        throw new Error(`the control plane ended with ${String(code)}`);
      }),
    ]).finally(() => answered.abort());
    if (message.kind !== kind) throw new Error(`expected ${kind}, got ${message.kind}`);
    return message as Extract<Answer, { kind: K }>; // just checked
  }

  async usage(): Promise<Usage> {
    return (await this.ask({ kind: 'usage' }, 'usage')).usage;
  }

  async close(): Promise<void> {
    if (this.child.exitCode !== null) return;
    const exited = once(this.child, 'exit');
    this.child.kill('SIGKILL');
    await exited;
  }
}
