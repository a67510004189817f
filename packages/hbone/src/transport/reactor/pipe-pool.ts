import { type DescriptorTable, type Pipe, Splice, type StreamIo, SystemError } from '@weft/linux';

const EXHAUSTED: ReadonlySet<string> = new Set(['EMFILE', 'ENFILE', 'ENOMEM']);
/** Empty pipes that wait for the next relay. */
const MAX_FREE_PIPES = 32;

/** The pipes of a reactor's spliced relays. */
export class PipePool {
  readonly splice = new Splice();
  private readonly io: StreamIo;
  private readonly descriptors: DescriptorTable;
  private readonly free: Pipe[] = [];

  constructor(io: StreamIo, descriptors: DescriptorTable) {
    this.io = io;
    this.descriptors = descriptors;
  }

  /** Undefined if the process or the system has no descriptor left, or no memory for pipes. */
  acquire(): Pipe | undefined {
    const known = this.free.pop();
    if (known !== undefined) return known;
    let pipe: Pipe;
    try {
      pipe = this.splice.openPipe();
    } catch (error) {
      if (error instanceof SystemError && EXHAUSTED.has(error.code)) return undefined;
      throw error;
    }
    this.descriptors.add(pipe.readEnd);
    this.descriptors.add(pipe.writeEnd);
    return pipe;
  }

  /** A pipe that has bytes in it is nothing for the next one. */
  release(pipe: Pipe, isEmpty: boolean): void {
    if (isEmpty && this.free.length < MAX_FREE_PIPES) this.free.push(pipe);
    else this.close(pipe);
  }

  closeAll(): void {
    for (const pipe of this.free.splice(0)) this.close(pipe);
  }

  private close({ readEnd, writeEnd }: Pipe): void {
    for (const fd of [readEnd, writeEnd]) {
      this.descriptors.delete(fd);
      this.io.close(fd);
    }
  }
}
