import { describe, expect, it } from '@jest/globals';
import { HeaderMap, type HttpStream } from '../../engine/types.ts';
import { RequestBody } from './request-body.ts';

const bytes = (text: string): Buffer => Buffer.from(text);

function sentBy(body: RequestBody): string[] {
  const sent: string[] = [];
  const stream: Pick<HttpStream, 'sendData' | 'sendTrailers'> = {
    sendData: (chunk, end) => {
      sent.push(`${chunk.toString()}${end ? '.' : ''}`);
      return true;
    },
    sendTrailers: (trailers) => void sent.push(`trailers ${[...trailers].join()}`),
  };
  body.sendTo(stream as HttpStream, body.follows); // no more of it is used
  return sent;
}

describe('what waits of a request', () => {
  it('is sent once there is a stream, with the end it has', () => {
    const body = new RequestBody(10, false);
    body.add(bytes('a'), false);
    body.add(bytes('b'), false);
    body.end();
    expect(sentBy(body)).toEqual(['a', 'b.']);
    expect(body.lost).toBe(true);
  });

  it('is sent to every attempt while it is kept', () => {
    const body = new RequestBody(10, true);
    body.add(bytes('a'), true);
    body.setTrailers(new HeaderMap(['x', 'y']));
    body.end();
    expect(sentBy(body)).toEqual(['a', 'trailers x,y']);
    expect(sentBy(body)).toEqual(['a', 'trailers x,y']);
    expect(body.lost).toBe(false);
  });

  it('is an end alone, when the end came after the head was sent', () => {
    const body = new RequestBody(10, false);
    const { follows } = body;
    body.end();
    const sent: boolean[] = [];
    const stream = { sendData: (_: Buffer, end: boolean) => sent.push(end) > 0 };
    body.sendTo(stream as unknown as HttpStream, follows); // no more of it is used
    expect(sent).toEqual([true]);
  });

  it('is no more than the limit: with a stream it is let go, without one the client waits', () => {
    const streaming = new RequestBody(3, true);
    expect(streaming.add(bytes('abcd'), true)).toBe(true);
    expect([streaming.kept, streaming.lost]).toEqual([false, true]);
    const waiting = new RequestBody(3, true);
    expect(waiting.add(bytes('abcd'), false)).toBe(false);
    expect([waiting.kept, waiting.lost]).toEqual([true, false]);
  });

  it('does not count what was sent and not kept as there', () => {
    const body = new RequestBody(10, false);
    body.add(bytes('a'), true);
    expect([body.lost, sentBy(body)]).toEqual([true, []]);
  });
});
