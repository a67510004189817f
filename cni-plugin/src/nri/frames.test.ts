import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { FrameReader } from './frames.ts';
import { MUX_FORMAT, muxFrames } from './mux.ts';

describe('frames', () => {
  it('are the same however the stream is cut', () => {
    const payloads = fc.array(fc.uint8Array({ minLength: 1, maxLength: 10_000 }), { maxLength: 5 });
    fc.assert(
      fc.property(payloads, fc.array(fc.nat(5_000), { maxLength: 50 }), (given, cuts) => {
        const stream = Buffer.concat(given.map((payload, i) => muxFrames(i + 1, Buffer.from(payload))));
        const reader = new FrameReader(MUX_FORMAT);
        const found = new Map<number, Buffer[]>();
        let at = 0;
        for (const cut of [...cuts, stream.length]) {
          for (const { header, payload } of reader.push(stream.subarray(at, at + cut))) {
            expect(payload.length).toBeLessThanOrEqual(4_096);
            const connection = header.readUInt32BE(0);
            found.set(connection, [...(found.get(connection) ?? []), payload]);
          }
          at += cut;
        }
        expect([...found.values()].map((pieces) => Buffer.concat(pieces).toString('hex'))).toEqual(
          given.map((payload) => Buffer.from(payload).toString('hex')),
        );
      }),
      { numRuns: 100 },
    );
  });

  it('of any bytes are read or refused', () => {
    fc.assert(
      fc.property(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 20 }), (chunks) => {
        const reader = new FrameReader({ ...MUX_FORMAT, maxPayloadBytes: 100 });
        try {
          for (const chunk of chunks) reader.push(Buffer.from(chunk));
        } catch (error) {
          expect(error).toMatchObject({ code: 'WEFT1712' });
        }
      }),
      { numRuns: 1_000 },
    );
  });
});
