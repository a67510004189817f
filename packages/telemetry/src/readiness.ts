/** A set of named gates; the process is ready once all are open. */
export class Readiness {
  private readonly closed = new Set<string>();

  constructor(gates: Iterable<string> = []) {
    for (const gate of gates) this.closed.add(gate);
  }

  open(gate: string): void {
    this.closed.delete(gate);
  }

  close(gate: string): void {
    this.closed.add(gate);
  }

  get ready(): boolean {
    return this.closed.size === 0;
  }

  /** Names of the gates that are still closed, sorted. */
  get pending(): readonly string[] {
    return [...this.closed].sort();
  }
}
