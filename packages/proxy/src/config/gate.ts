/** Something that opens, or fails, once, and for whoever waits. */
export class Gate {
  readonly opened: Promise<void>;
  private resolve: () => void = () => undefined;
  private reject: (error: unknown) => void = () => undefined;

  constructor() {
    this.opened = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Whoever doesn't wait must not be brought down by a failure.
    this.opened.catch(() => undefined);
  }

  open(): void {
    this.resolve();
  }

  fail(error: unknown): void {
    this.reject(error);
  }
}
