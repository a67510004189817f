/** Longest uninterrupted work on a push, so that connections are answered throughout. */
export const SLICE_MS = 2;

/** Tells long loops when to let the event loop turn: `if (slice.isOver()) await slice.next()`. */
export class TimeSlice {
  private readonly lengthMs: number;
  private startedAt = performance.now();

  constructor(lengthMs = SLICE_MS) {
    this.lengthMs = lengthMs;
  }

  isOver(): boolean {
    return performance.now() - this.startedAt >= this.lengthMs;
  }

  async next(): Promise<void> {
    await new Promise<void>((resolve) => {
      setImmediate(resolve);
    });
    this.startedAt = performance.now();
  }
}
