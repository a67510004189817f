interface Entry<T> {
  readonly item: T;
  deadline: number;
  /** Breaks ties by insertion, so that equal weights rotate. */
  order: number;
}

/**
 * Earliest deadline first: each pick of an item with weight w moves its deadline by 1/w, so picks are in proportion
 * to the weights and evenly spread. A binary heap.
 */
export class EdfSchedule<T> {
  private readonly heap: Entry<T>[] = [];
  private now = 0;
  private sequence = 0;

  get size(): number {
    return this.heap.length;
  }

  add(weight: number, item: T): void {
    this.heap.push({ item, deadline: this.now + 1 / weight, order: this.sequence++ });
    this.siftUp(this.heap.length - 1);
  }

  /** The next item, which is scheduled anew with the weight it has now. */
  pick(weightOf: (item: T) => number): T | undefined {
    const first = this.heap[0];
    if (first === undefined) return undefined;
    this.now = first.deadline;
    first.deadline += 1 / weightOf(first.item);
    first.order = this.sequence++;
    this.siftDown();
    return first.item;
  }

  private siftUp(start: number): void {
    const { heap } = this;
    for (let i = start; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.isBefore(i, parent)) return;
      [heap[i], heap[parent]] = [this.at(parent), this.at(i)];
      i = parent;
    }
  }

  private siftDown(): void {
    const { heap } = this;
    for (let i = 0; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < heap.length && this.isBefore(child, least)) least = child;
      }
      if (least === i) return;
      [heap[i], heap[least]] = [this.at(least), this.at(i)];
      i = least;
    }
  }

  private isBefore(a: number, b: number): boolean {
    const left = this.at(a);
    const right = this.at(b);
    return left.deadline === right.deadline ? left.order < right.order : left.deadline < right.deadline;
  }

  private at(index: number): Entry<T> {
    const entry = this.heap[index];
    if (entry === undefined) throw new RangeError(`heap index ${index} of ${this.heap.length}`);
    return entry;
  }
}
