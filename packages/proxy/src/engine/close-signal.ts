type CloseHandler = (error?: Error) => void;

/** The `onClose` of a byte stream: told once, and also to whoever begins to listen only after it happened. */
export class CloseSignal {
  private current: CloseHandler | undefined;
  private fired: { readonly error: Error | undefined } | undefined;
  private told = false;

  get handler(): CloseHandler {
    return this.current ?? ignore;
  }

  set handler(handler: CloseHandler) {
    this.current = handler;
    if (this.fired !== undefined) queueMicrotask(() => this.tell());
  }

  /** The stream is closed. The handler of that moment is called at once. */
  fire(error?: Error): void {
    this.fired ??= { error };
    this.tell();
  }

  private tell(): void {
    if (this.told || this.fired === undefined || this.current === undefined) return;
    this.told = true;
    this.current(this.fired.error);
  }
}

function ignore(): void {
  // Nobody listens yet.
}
