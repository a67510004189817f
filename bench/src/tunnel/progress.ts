/** How far a run is, and how long it will take by how long it took. */
export class Progress {
  private readonly totalSeconds: number;
  private readonly startedMs: number;
  private readonly now: () => number;
  private doneSeconds = 0;

  /** @param totalSeconds the sum of what all steps were forecast to take */
  constructor(totalSeconds: number, now: () => number = () => performance.now()) {
    this.totalSeconds = totalSeconds;
    this.now = now;
    this.startedMs = now();
  }

  /** Counts a step, and says how much is left. */
  did(what: string, forecastSeconds: number): string {
    this.doneSeconds += forecastSeconds;
    const elapsedSeconds = (this.now() - this.startedMs) / 1_000;
    const leftSeconds = ((this.totalSeconds - this.doneSeconds) * elapsedSeconds) / this.doneSeconds;
    const percent = Math.round((100 * this.doneSeconds) / this.totalSeconds);
    return `${String(percent).padStart(3)} %, ${minutes(elapsedSeconds)} gone, about ${minutes(leftSeconds)} left: ${what}`;
  }
}

function minutes(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, '0')} min`;
}
