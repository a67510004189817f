import { describe, expect, it } from '@jest/globals';
import { relay, type RelayEnd } from './relay.ts';

type Handler = Parameters<RelayEnd['attach']>[0];

/** One end, driven by the test, that writes down what is done to it. */
class FakeEnd implements RelayEnd {
  lends = false;
  readonly log: string[] = [];
  handler!: Handler;
  isFull = false;
  attach(handler: Handler): void {
    this.handler = handler;
  }
  write(chunk: Buffer): boolean {
    this.log.push(`write ${chunk.toString()}`);
    return !this.isFull;
  }
  writeLent(chunk: Buffer): boolean {
    this.log.push(`writeLent ${chunk.toString()}`);
    return !this.isFull;
  }
  end(): void {
    this.log.push('end');
  }
  finish(): void {
    this.log.push('finish');
  }
  pause(): void {
    this.log.push('pause');
  }
  resume(): void {
    this.log.push('resume');
  }
  abort(): void {
    this.log.push('abort');
    this.handler.onClose({ kind: 'ended' });
  }
}

function setUp(): {
  down: FakeEnd;
  up: FakeEnd;
  counts: { received: number; sent: number };
  cut: AbortController;
  done: Promise<void>;
} {
  const down = new FakeEnd();
  const up = new FakeEnd();
  const counts = { received: 0, sent: 0 };
  const cut = new AbortController();
  return { down, up, counts, cut, done: relay(down, up, counts, cut.signal) };
}

describe('relay', () => {
  it('copies and counts both ways, and ends each direction on its own', async () => {
    const { down, up, counts, done } = setUp();
    down.handler.onData(Buffer.from('ask'));
    down.handler.onEnd();
    up.handler.onData(Buffer.from('answer'));
    up.handler.onEnd();
    down.handler.onClose({ kind: 'ended' });
    up.handler.onClose({ kind: 'ended' });
    await done;
    expect([up.log, down.log]).toEqual([
      ['write ask', 'end'],
      ['write answer', 'end'],
    ]);
    expect(counts).toEqual({ received: 3, sent: 6 });
  });

  it('slows a sender down to the pace of its receiver', () => {
    const { down, up } = setUp();
    up.isFull = true;
    down.handler.onData(Buffer.from('x'));
    expect(down.log).toEqual(['pause']);
    up.handler.onDrain();
    expect(down.log).toEqual(['pause', 'resume']);
  });

  it('aborts the other end when one fails', async () => {
    const { down, up, done } = setUp();
    up.handler.onClose({ kind: 'failed', error: new Error('lost') });
    await expect(done).rejects.toThrow('lost');
    expect(down.log).toEqual(['abort']);
  });

  it('delivers what was sent when a peer wants nothing more', async () => {
    const { down, up, done } = setUp();
    down.handler.onData(Buffer.from('x'));
    down.handler.onClose({ kind: 'gone' });
    expect(up.log).toEqual(['write x', 'finish']);
    up.handler.onClose({ kind: 'ended' });
    await done;
  });

  it('aborts both ends when it is cut', async () => {
    const { down, up, cut, done } = setUp();
    cut.abort(new Error('policy'));
    await expect(done).rejects.toThrow('policy');
    expect([down.log, up.log]).toEqual([['abort'], ['abort']]);
  });
});
