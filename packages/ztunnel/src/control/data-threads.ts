import { once } from 'node:events';
import { setTimeout } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { DescriptorTable } from '@weft/linux';
import { WeftError, type ProfileOptions } from '@weft/telemetry';
import { threadNumberOf } from '../data/connection.ts';
import type {
  ConnectionId,
  DataThreadSettings,
  EngineName,
  Order,
  PodListeners,
  ToControl,
  ToData,
} from '../data/messages.ts';
import { Outbox } from '../data/outbox.ts';

export interface DataThreadsOptions {
  readonly count: number;
  readonly settings: Omit<DataThreadSettings, 'threadNumber' | 'engine'>;
  readonly engine: EngineName;
  /** What runs in each thread; another one only in tests. */
  readonly program?: URL;
  /** Every message but answers to calls. */
  readonly onMessage: (
    message: Exclude<ToControl, { kind: 'answer' }>,
    reply: (message: ToData) => void,
  ) => void;
  /** A thread ended by itself. Its connections are lost; a new one takes its place and its pods. */
  readonly onThreadLost: (error: WeftError, isOfThread: (id: ConnectionId) => boolean) => void;
  /** The fast engine failed so often that the threads started from now on have the portable one. */
  readonly onEngineGivenUp: (error: WeftError) => void;
  /** A pod's listeners couldn't be opened again in the thread that took the place of another. */
  readonly onPodLost: (error: WeftError) => void;
}

interface Thread {
  readonly number: number;
  readonly worker: Worker;
  readonly outbox: Outbox<ToData>;
  readonly engine: EngineName;
  readonly calls: Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>;
}

const DATA_THREAD = new URL('../data/data-thread.worker.js', import.meta.url);
/** A data thread that fails this soon after its start isn't started again, or it would fail for ever. */
const MIN_THREAD_LIFE_MS = 1_000;
/** Data threads that may fail on the fast engine before it is given up, in all the life of the process. */
export const MAX_FAST_FAILURES = 3;
/** What a thread has to close everything in. */
const STOP_TIMEOUT_MS = 2_000;

/** The data threads of the process and the pods that they serve. */
export class DataThreads {
  private readonly options: DataThreadsOptions;
  private readonly threads: Thread[] = [];
  private readonly pods = new Map<string, PodListeners>();
  private revocations: Uint8Array | undefined;
  private nextCall = 1;
  private nextThread = 0;
  private isStopping = false;
  private engine: EngineName;
  private fastFailures = 0;

  constructor(options: DataThreadsOptions) {
    this.options = options;
    this.engine = options.engine;
    for (let index = 0; index < options.count; index++) this.threads.push(this.startThread(index));
  }

  /** Opens the pod's listeners in every thread that shall have them; all or none. */
  async openPod(pod: PodListeners): Promise<void> {
    this.pods.set(pod.podUid, pod);
    const opened = await Promise.allSettled(
      this.threadsOf(pod).map((thread) => this.call(thread, { kind: 'open-pod', pod })),
    );
    const failed = opened.find((result) => result.status === 'rejected');
    if (failed === undefined) return;
    await this.closePod(pod.podUid);
    throw failed.reason;
  }

  async closePod(podUid: string): Promise<void> {
    this.pods.delete(podUid);
    await Promise.allSettled(this.threads.map((thread) => this.call(thread, { kind: 'close-pod', podUid })));
  }

  /** The certificates that are revoked from now on, for open connections as well. */
  revoke(revocations: Uint8Array): void {
    this.revocations = revocations;
    for (const { outbox } of this.threads) outbox.send({ kind: 'revocations', bytes: revocations });
  }

  /** The text of a `.cpuprofile`; undefined if there is no such thread. */
  profile(index: number, options: ProfileOptions): Promise<string> | undefined {
    const thread = this.threads[index];
    return thread && this.call(thread, { kind: 'profile', options }).then(({ profile = '' }) => profile);
  }

  order(connection: ConnectionId, order: Order): void {
    this.threadOf(connection)?.outbox.send({ kind: 'order', connection, order });
  }

  cut(connection: ConnectionId, why: string): void {
    this.threadOf(connection)?.outbox.send({ kind: 'cut', connection, why });
  }

  /** Stops accepting; resolves when every connection has ended. */
  async drain(): Promise<void> {
    await Promise.allSettled(this.threads.map((thread) => this.call(thread, { kind: 'drain' })));
  }

  async stop(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.threads.map((thread) => stopThread(thread)));
  }

  /** Undefined for a connection of a thread that is no more. */
  private threadOf(connection: ConnectionId): Thread | undefined {
    return this.threads.find(({ number }) => number === threadNumberOf(connection));
  }

  /** Without SO_REUSEPORT only one socket can listen on a port, so one thread has the pod for itself. */
  private threadsOf({ podUid, sockets }: PodListeners): readonly Thread[] {
    if (sockets.reusePort) return this.threads;
    let hash = 0;
    for (const character of podUid) hash = (hash * 31 + character.charCodeAt(0)) >>> 0;
    return this.threads.slice(hash % this.threads.length).slice(0, 1);
  }

  private call(thread: Thread, message: CallMessage): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const call = this.nextCall++;
      thread.calls.set(call, { resolve, reject });
      thread.outbox.send({ ...message, call });
    });
  }

  private startThread(index: number): Thread {
    const startedAt = Date.now();
    const number = this.nextThread++;
    const descriptors = new DescriptorTable();
    const engine = this.engine;
    const worker = new Worker(this.options.program ?? DATA_THREAD, {
      workerData: {
        ...this.options.settings,
        threadNumber: number,
        engine: engine === 'fast' ? { kind: engine, descriptors: descriptors.memory } : { kind: engine },
      } satisfies DataThreadSettings,
      name: `data-${index}`,
    });
    const outbox = new Outbox<ToData>(worker);
    const thread: Thread = { number, worker, outbox, engine, calls: new Map() };
    if (this.revocations !== undefined) outbox.send({ kind: 'revocations', bytes: this.revocations });
    let cause: unknown = 'it ended by itself';
    worker.on('message', (messages: readonly ToControl[]) => {
      for (const message of messages) this.onMessage(thread, message);
    });
    worker.on('error', (error) => (cause = error));
    worker.on('exit', () => {
      const error = new WeftError('WEFT1340', `data thread ${index}`, { cause });
      // Nobody else would, and their peers would wait for ever.
      descriptors.closeAll();
      for (const { reject } of thread.calls.values()) reject(error);
      if (this.isStopping) return;
      if (engine === 'fast') this.countFastFailure(error);
      this.options.onThreadLost(error, (id) => threadNumberOf(id) === number);
      if (Date.now() - startedAt < MIN_THREAD_LIFE_MS) throw error;
      void this.replaceThread(index);
    });
    return thread;
  }

  private countFastFailure(cause: WeftError): void {
    if (this.engine !== 'fast' || ++this.fastFailures < MAX_FAST_FAILURES) return;
    this.engine = 'portable';
    this.options.onEngineGivenUp(
      new WeftError('WEFT1344', `${this.fastFailures} data threads failed on it`, { cause }),
    );
  }

  private async replaceThread(index: number): Promise<void> {
    const thread = this.startThread(index);
    this.threads[index] = thread;
    // Pods that are opened or closed from now on are told to this thread as to the others.
    for (const pod of [...this.pods.values()]) {
      const isCurrent = (): boolean => this.pods.get(pod.podUid) === pod && this.threads[index] === thread;
      if (!isCurrent() || !this.threadsOf(pod).includes(thread)) continue;
      await this.call(thread, { kind: 'open-pod', pod }).catch((cause: unknown) => {
        if (isCurrent()) this.options.onPodLost(new WeftError('WEFT1330', `pod ${pod.podUid}`, { cause }));
      });
    }
  }

  private onMessage(thread: Thread, message: ToControl): void {
    if (message.kind !== 'answer') {
      return this.options.onMessage(message, (reply) => thread.outbox.send(reply));
    }
    const waiting = thread.calls.get(message.call);
    thread.calls.delete(message.call);
    if (message.error === undefined) waiting?.resolve(message);
    else waiting?.reject(new Error(message.error));
  }
}

/** A thread with a reactor must close it itself. */
async function stopThread({ worker, outbox, engine }: Thread): Promise<void> {
  if (engine === 'fast') {
    const gone = once(worker, 'exit');
    outbox.send({ kind: 'stop' });
    await Promise.race([gone, setTimeout(STOP_TIMEOUT_MS, undefined, { ref: false })]);
  }
  await worker.terminate();
}

type Answer = Extract<ToControl, { kind: 'answer' }>;
type WithoutCall<T> = T extends unknown ? Omit<T, 'call'> : never;
type CallMessage = WithoutCall<Extract<ToData, { kind: 'open-pod' | 'close-pod' | 'profile' | 'drain' }>>;
