import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { BufferSource, CodecSide } from '../testing/codec-side.ts';
import * as f from '../testing/frames.ts';
import { Flag } from './constants.ts';

const RUNS = 400;

/** Bytes a server may get: right and wrong frames, in any order. */
const anyFrame = fc.oneof(
  fc
    .tuple(
      fc.integer({ min: 0, max: 11 }),
      fc.integer({ min: 0, max: 255 }),
      fc.integer({ min: 0, max: 9 }),
      fc.uint8Array({ maxLength: 60 }),
    )
    .map(([type, flags, id, payload]) => f.frame(type, flags, id, Buffer.from(payload))),
  fc.integer({ min: 0, max: 5 }).map((n) => f.connect(2 * n + 1)),
  fc
    .tuple(fc.integer({ min: 0, max: 5 }), fc.uint8Array({ maxLength: 2_000 }), fc.boolean())
    .map(([n, payload, end]) => f.data(2 * n + 1, Buffer.from(payload), end ? Flag.endStream : 0)),
  fc
    .tuple(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 0, max: 100_000 }))
    .map(([id, n]) => f.windowUpdate(id, n)),
  fc.tuple(fc.integer({ min: 0, max: 7 }), fc.nat(2 ** 20)).map(([id, value]) => f.settings([id, value])),
  fc.integer({ min: 0, max: 11 }).map((id) => f.reset(id, 8)),
  fc.uint8Array({ maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
);
const input = fc.tuple(
  fc.boolean(),
  fc.array(anyFrame, { maxLength: 40 }),
  fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1, maxLength: 10 }),
);

/** `bytes` cut into chunks of the given sizes, over and over. */
function* chunks(bytes: Buffer, sizes: readonly number[]): Generator<Buffer> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length] ?? 1;
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

describe('arbitrary input', () => {
  it('never throws, never makes an unbounded answer, and keeps its books', () => {
    fc.assert(
      fc.property(input, fc.boolean(), ([withStart, frames, sizes], delivering) => {
        const side = new CodecSide('server');
        side.delivering = delivering;
        const bytes = Buffer.concat(withStart ? [f.clientStart(), ...frames] : frames);
        for (const chunk of chunks(bytes, sizes)) side.receive(chunk);
        expect(side.sent().length).toBeLessThan(1_000 + 20 * bytes.length);
        expect(side.budget.queuedBytes).toBe(side.undelivered);
        expect(side.connection.streams.size).toBeLessThanOrEqual(200);
        side.connection.close(new Error('end'));
        expect(side.connection.streams.size).toBe(0);
      }),
      { numRuns: RUNS },
    );
  });

  it('gives the same events however it is cut', () => {
    fc.assert(
      fc.property(input, ([, frames, sizes]) => {
        const bytes = Buffer.concat([f.clientStart(), ...frames]);
        const whole = new CodecSide('server');
        whole.receive(bytes);
        const cut = new CodecSide('server');
        for (const chunk of chunks(bytes, sizes)) cut.receive(chunk);
        expect(joinData(cut.log)).toEqual(joinData(whole.log));
        // Credit may be returned at other moments; errors may not differ.
        const errors = (side: CodecSide): string[] =>
          f.describeFrames(side.sent()).filter((l) => /rst|goaway/.test(l));
        expect(errors(cut)).toEqual(errors(whole));
      }),
      { numRuns: RUNS },
    );
  });

  it('does no harm to a client either', () => {
    fc.assert(
      fc.property(input, ([withStart, frames, sizes]) => {
        const side = new CodecSide('client');
        for (let i = 0; i < 4; i++) side.open([':method', 'CONNECT', ':authority', 'a:1']);
        const bytes = Buffer.concat(withStart ? [f.settings(), ...frames] : frames);
        for (const chunk of chunks(bytes, sizes)) side.receive(chunk);
        expect(side.sent().length).toBeLessThan(1_000 + 20 * bytes.length);
      }),
      { numRuns: RUNS },
    );
  });
});

/** Consecutive pieces of a stream count as one. */
function joinData(log: readonly string[]): string[] {
  const joined: string[] = [];
  let last = { id: '', bytes: 0 };
  for (const line of log) {
    const [, id, bytes] = /^data (\d+) (\d+)$/.exec(line) ?? [];
    if (id === undefined) {
      joined.push(line);
      last = { id: '', bytes: 0 };
    } else if (last.id === id) {
      last.bytes += Number(bytes);
      joined[joined.length - 1] = `data ${id} ${last.bytes}`;
    } else {
      last = { id, bytes: Number(bytes) };
      joined.push(line);
    }
  }
  return joined;
}

describe('a client and a server of ours', () => {
  it('move any streams through any windows and cuts, to the last byte', () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 8 }),
        fc.integer({ min: 100, max: 100_000 }),
        fc.array(fc.integer({ min: 1, max: 50_000 }), { minLength: 1, maxLength: 5 }),
        (sizes, streamWindowBytes, cuts) => {
          const server = new CodecSide('server', { streamWindowBytes, connectionWindowBytes: 65_535 });
          const client = new CodecSide('client');
          const jobs = sizes.map((size) => {
            const stream = client.open([':method', 'CONNECT', ':authority', 'a:1']);
            if (stream === undefined) throw new Error('refused');
            return { stream, source: new BufferSource(Buffer.alloc(size, stream.id), true) };
          });
          let moved = 1;
          while (moved > 0) {
            for (const { stream, source } of jobs) client.connection.sendFrom(stream, source, 20_000);
            const there = client.sent();
            for (const chunk of chunks(there, cuts)) server.receive(chunk);
            const back = server.sent();
            for (const chunk of chunks(back, cuts)) client.receive(chunk);
            moved = there.length + back.length;
          }
          for (const [i, { stream }] of jobs.entries()) {
            const bytes = server.log
              .map((line) => new RegExp(`^data ${stream.id} (\\d+)$`).exec(line)?.[1])
              .reduce((sum, n) => sum + Number(n ?? 0), 0);
            expect(bytes).toBe(sizes[i]);
            expect(server.log).toContain(`end ${stream.id}`);
          }
        },
      ),
      { numRuns: 60 },
    );
  });
});
