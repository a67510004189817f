/** The near end of a thread's port. */
interface Port {
  postMessage(messages: readonly unknown[]): void;
}

/**
 * What a thread has to tell another one, gathered over a turn of its event loop and sent as one list: a message
 * between threads costs microseconds at both ends, whatever is in it. The order stays.
 */
export class Outbox<T> {
  private readonly port: Port;
  private waiting: T[] = [];

  constructor(port: Port) {
    this.port = port;
  }

  send(message: T): void {
    if (this.waiting.length === 0) setImmediate(() => this.flush());
    this.waiting.push(message);
  }

  private flush(): void {
    const { waiting } = this;
    this.waiting = [];
    this.port.postMessage(waiting);
  }
}
