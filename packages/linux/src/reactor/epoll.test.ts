import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { constants } from 'node:os';
import { acceptQueued } from '../listener-handover.ts';
import { createTcpListener, createTcpSocket } from '../tcp-socket.ts';
import { Epoll, EpollEvent } from './epoll.ts';
import { ForeignBuffer } from './foreign.ts';
import { StreamIo, WOULD_BLOCK } from './stream-io.ts';

let epoll: Epoll;
let io: StreamIo;
let open: number[];
const buffer = new ForeignBuffer(64 * 1024);

beforeEach(() => {
  epoll = new Epoll();
  io = new StreamIo();
  open = [];
});
afterEach(() => {
  for (const fd of open) io.close(fd);
  epoll.close();
});

/** Connected sockets, both registered, as they are on loopback at once. */
function connectedPair(): [client: number, server: number] {
  const listener = createTcpListener({ host: '127.0.0.1', port: 0 }).fd;
  const client = createTcpSocket({ family: 4 }).fd;
  open.push(listener, client);
  io.connect(client, '127.0.0.1', io.localAddress(listener)?.port ?? 0);
  const server = acceptQueued(listener);
  if (server === undefined) throw new Error('not connected');
  open.push(server);
  epoll.add(client);
  epoll.add(server);
  return [client, server];
}

function events(): Map<number, number> {
  const told = new Map<number, number>();
  epoll.dispatch((fd, bits) => told.set(fd, bits));
  return told;
}

describe('an epoll set', () => {
  it('tells each change once: writable at first, readable when bytes came, hung up after the end', () => {
    const [client, server] = connectedPair();
    expect(events()).toEqual(
      new Map([
        [client, EpollEvent.writable],
        [server, EpollEvent.writable],
      ]),
    );
    expect(events().size).toBe(0);
    buffer.bytes.write('hello');
    expect(io.send(client, buffer.address, 5)).toBe(5);
    expect(events().get(server)).toBe(EpollEvent.readable | EpollEvent.writable);
    expect(events().size).toBe(0);
    io.shutdownWrite(client);
    expect((events().get(server) ?? 0) & EpollEvent.readHangup).toBeTruthy();
  });

  it('says nothing of a descriptor that was taken out', () => {
    const [client, server] = connectedPair();
    epoll.delete(client);
    epoll.delete(server);
    expect(events().size).toBe(0);
  });
});

describe('a socket', () => {
  it('gives what came, then nothing, then its end', () => {
    const [client, server] = connectedPair();
    expect(io.receive(server, buffer.address, 10)).toBe(WOULD_BLOCK);
    buffer.bytes.write('hello');
    io.send(client, buffer.address, 5);
    buffer.bytes.fill(0);
    expect(io.peek(server)).toBe(1);
    expect(io.receive(server, buffer.address + 10, 100)).toBe(5);
    expect(buffer.bytes.toString('latin1', 10, 15)).toBe('hello');
    io.shutdownWrite(client);
    expect(io.receive(server, buffer.address, 10)).toBe(0);
  });

  it('takes what its peer does not read until the kernel is full', () => {
    const [client] = connectedPair();
    let taken = 0;
    let sent = 0;
    while ((sent = io.send(client, buffer.address, buffer.bytes.length)) !== WOULD_BLOCK) taken += sent;
    expect(taken).toBeGreaterThan(buffer.bytes.length);
  });

  it('tells its peer a reset when it is closed so', () => {
    const [client, server] = connectedPair();
    io.resetOnClose(client);
    io.close(client);
    open.splice(open.indexOf(client), 1);
    expect(() => io.receive(server, buffer.address, 10)).toThrow(
      expect.objectContaining({ code: 'ECONNRESET' }),
    );
  });

  it('says why it could not connect', () => {
    const { fd } = createTcpSocket({ family: 4 });
    const listener = createTcpListener({ host: '127.0.0.1', port: 0 }).fd;
    const port = io.localAddress(listener)?.port ?? 0;
    io.close(listener);
    open.push(fd);
    io.connect(fd, '127.0.0.1', port);
    expect(io.takeError(fd, 'connect')?.errno).toBe(constants.errno.ECONNREFUSED);
    expect(io.takeError(fd, 'connect')).toBeUndefined();
  });
});
