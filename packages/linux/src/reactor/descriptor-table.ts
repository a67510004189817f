import { closeDescriptor } from '../descriptor.ts';

/** More than any limit of open files that the product sets. */
export const MAX_TRACKED_DESCRIPTOR = 1 << 20;

/**
 * The descriptors that a thread owns and no Node object knows, as bits in memory shared with another thread: when the
 * first one dies, the other closes them, or they leak and their peers wait for ever.
 */
export class DescriptorTable {
  readonly memory: SharedArrayBuffer;
  private readonly words: Int32Array;

  constructor(memory = new SharedArrayBuffer(MAX_TRACKED_DESCRIPTOR / 8)) {
    this.memory = memory;
    this.words = new Int32Array(memory);
  }

  add(fd: number): void {
    if (fd < 0 || fd >= MAX_TRACKED_DESCRIPTOR) throw new RangeError(`descriptor ${fd} can't be tracked`);
    Atomics.or(this.words, fd >>> 5, 1 << (fd & 31));
  }

  delete(fd: number): void {
    Atomics.and(this.words, fd >>> 5, ~(1 << (fd & 31)));
  }

  /** Of a thread that is no more. Returns how many there were. */
  closeAll(): number {
    let closed = 0;
    for (let index = 0; index < this.words.length; index++) {
      const word = Atomics.exchange(this.words, index, 0);
      if (word === 0) continue;
      for (let bit = 0; bit < 32; bit++) {
        if ((word & (1 << bit)) === 0) continue;
        closeDescriptor(index * 32 + bit);
        closed++;
      }
    }
    return closed;
  }
}
