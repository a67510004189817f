import { paint } from '@weft/cli';

/** Says what happens: a moving line while something is waited for, one line for each piece of evidence. */
export class Narrator {
  private readonly out = process.stdout;
  private readonly started = Date.now();
  private timer: NodeJS.Timeout | undefined;

  heading(text: string): void {
    this.out.write(`\n${paint('bold', text)}\n`);
  }

  evidence(text: string): void {
    this.out.write(`  ${paint('green', '✓')} ${text}\n`);
  }

  detail(text: string): void {
    this.out.write(`    ${paint('dim', text)}\n`);
  }

  /** Shows that something goes on, with the seconds it takes; a terminal sees it move. */
  async during<T>(what: string, work: () => Promise<T>): Promise<T> {
    const begun = Date.now();
    const seconds = (): string => `${((Date.now() - begun) / 1000).toFixed(0)} s`;
    if (this.out.isTTY) {
      this.timer = setInterval(
        () => this.out.write(`\r  ${paint('cyan', '…')} ${what} ${paint('dim', seconds())} `),
        100,
      );
    }
    try {
      return await work();
    } finally {
      this.quiet();
    }
  }

  /** Ends the moving line. */
  quiet(): void {
    if (this.timer === undefined) return;
    clearInterval(this.timer);
    this.timer = undefined;
    this.out.write('\r\x1b[2K');
  }

  get elapsedSeconds(): number {
    return Math.round((Date.now() - this.started) / 1000);
  }
}

/** A step that isn't as promised; the tour ends there. */
export class BrokenPromise extends Error {}

export function promise(condition: boolean, what: string): asserts condition {
  if (!condition) throw new BrokenPromise(what);
}
