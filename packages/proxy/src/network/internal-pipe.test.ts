import { describe, expect, it } from '@jest/globals';
import { createConnectionInfo } from './connection-info.ts';
import { createPipe, type PipeEnd } from './internal-pipe.ts';

const address = { kind: 'internal', listener: 'test', endpointId: '' } as const;
const info = () => createConnectionInfo({ remoteAddress: address, localAddress: address, startTimeMs: 0 });

function pipe(capacityBytes = 1_000) {
  const { client, server } = createPipe(info(), info(), capacityBytes);
  return { client, server, clientLog: record(client), serverLog: record(server) };
}

function record(end: PipeEnd): string[] {
  const log: string[] = [];
  end.onData = (chunk) => log.push(`data ${chunk.toString()}`);
  end.onEnd = () => log.push('end');
  end.onDrain = () => log.push('drain');
  end.onClose = (error) => log.push(error === undefined ? 'close' : `close ${error.message}`);
  return log;
}

const settle = () => new Promise((resolve) => setImmediate(resolve));

describe('an internal connection', () => {
  it('delivers nothing before the receiver resumes, and nothing within the call that sends', async () => {
    const { client, server, serverLog } = pipe();
    client.write(Buffer.from('a'));
    await settle();
    expect(serverLog).toEqual([]);
    server.resume();
    expect(serverLog).toEqual([]);
    await settle();
    expect(serverLog).toEqual(['data a']);
  });

  it('passes a half-close on and takes data the other way after it', async () => {
    const { client, server, clientLog, serverLog } = pipe();
    client.resume();
    server.resume();
    client.write(Buffer.from('question'));
    client.end();
    await settle();
    server.write(Buffer.from('answer'));
    server.end();
    await settle();
    expect(serverLog).toEqual(['data question', 'end', 'close']);
    expect(clientLog).toEqual(['data answer', 'end', 'close']);
  });

  it('asks the sender to wait at its capacity and calls it back when half is free', async () => {
    const { client, server, clientLog } = pipe(10);
    expect(client.write(Buffer.alloc(9))).toBe(true);
    expect(client.write(Buffer.alloc(9))).toBe(false);
    await settle();
    expect(clientLog).toEqual([]);
    server.resume();
    await settle();
    expect(clientLog).toEqual(['drain']);
  });

  it('tells the other end of a reset, and not the one that did it', async () => {
    const { client, server, clientLog, serverLog } = pipe();
    server.resume();
    client.write(Buffer.from('lost'));
    client.reset();
    await settle();
    expect(clientLog).toEqual(['close']);
    expect(serverLog).toEqual(['close internal connection reset by its other end']);
  });

  it('tells of a reset that came before anybody listened', async () => {
    const { client, server } = createPipe(info(), info());
    server.reset();
    await settle();
    expect(record(client)).toEqual([]);
    const log = record(client);
    await settle();
    expect(log).toEqual(['close internal connection reset by its other end']);
  });

  it('delivers what was written before a graceful close', async () => {
    const { client, server, serverLog, clientLog } = pipe();
    client.write(Buffer.from('last words'));
    client.close();
    server.resume();
    await settle();
    server.end();
    await settle();
    expect(serverLog).toEqual(['data last words', 'end', 'close']);
    expect(clientLog).toEqual(['close']);
  });

  it('gives unread bytes out again, before those that came later', async () => {
    const { client, server, serverLog } = pipe();
    client.write(Buffer.from('later'));
    server.unread(Buffer.from('first'));
    server.resume();
    await settle();
    expect(serverLog).toEqual(['data first', 'data later']);
  });
});
