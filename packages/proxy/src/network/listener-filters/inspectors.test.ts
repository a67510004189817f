import { connect } from 'node:tls';
import { PassThrough, Duplex } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { createConnectionInfo } from '../connection-info.ts';
import { createPipe } from '../internal-pipe.ts';
import { readClientHello } from './client-hello.ts';
import { httpInspector, sniffHttp } from './http-inspector.ts';
import { originalDestination, LOCAL_ADDRESS_KEY, REMOTE_ADDRESS_KEY } from './original-destination.ts';
import { proxyProtocol, readProxyHeader } from './proxy-protocol.ts';
import { runListenerFilters, type ListenerFilterOutcome } from './run.ts';
import type { ListenerFilter } from './listener-filter.ts';

/** The first flight of a real TLS client. */
async function clientHello(o: {
  readonly servername?: string;
  readonly ALPNProtocols?: string[];
}): Promise<Buffer> {
  const wire = new PassThrough();
  const socket = connect({ socket: Duplex.from({ writable: wire, readable: new PassThrough() }), ...o });
  socket.on('error', () => undefined);
  const chunk = await new Promise<Buffer>((resolve) => {
    wire.once('data', resolve);
  });
  socket.destroy();
  return chunk;
}

describe('reading a ClientHello', () => {
  it('finds the server name and the protocols', async () => {
    const hello = await clientHello({ servername: 'Shop.Example', ALPNProtocols: ['h2', 'http/1.1'] });
    expect(readClientHello(hello)).toEqual({
      kind: 'hello',
      serverName: 'shop.example',
      protocols: ['h2', 'http/1.1'],
    });
  });

  it('asks for more at every cut', async () => {
    const hello = await clientHello({ servername: 'shop.example' });
    for (let length = 0; length < hello.length; length++) {
      expect(readClientHello(hello.subarray(0, length)).kind).toBe('incomplete');
    }
  });

  it('reads a message that is split over records', async () => {
    const hello = await clientHello({ servername: 'shop.example' });
    const body = hello.subarray(5);
    const record = (part: Buffer) => {
      const header = Buffer.from(hello.subarray(0, 5));
      header.writeUInt16BE(part.length, 3);
      return Buffer.concat([header, part]);
    };
    const split = Buffer.concat([
      record(body.subarray(0, 3)),
      record(body.subarray(3, 90)),
      record(body.subarray(90)),
    ]);
    expect(readClientHello(split)).toMatchObject({ kind: 'hello', serverName: 'shop.example' });
  });

  it('never takes other bytes for TLS', () => {
    expect(readClientHello(Buffer.from('GET / HTTP/1.1\r\n')).kind).toBe('not-tls');
    expect(readClientHello(Buffer.from([22, 2, 0, 0, 1, 1])).kind).toBe('not-tls');
    expect(readClientHello(Buffer.from([22, 3, 1, 0, 4, 1, 0, 0, 0])).kind).toBe('not-tls');
  });
});

describe('sniffing HTTP', () => {
  it.each([
    ['GET / HTTP/1.1\r\n', 'http/1.1'],
    ['GET / HTTP/1.0\n', 'http/1.0'],
    ['PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nrest', 'h2c'],
    ['PRI * HTTP/2.0\r\n', 'incomplete'],
    ['GET /some', 'incomplete'],
    ['GE', 'incomplete'],
    ['', 'incomplete'],
    ['GETS / HTTP/1.1\r\n', 'none'],
    ['GET / FTP/1.1\r\n', 'none'],
    ['hello', 'none'],
    ['\x16\x03\x01', 'none'],
  ] as const)('says of %j: %s', (text, expected) => {
    expect(sniffHttp(Buffer.from(text, 'latin1'))).toBe(expected);
  });
});

describe('the PROXY protocol', () => {
  it.each([
    ['PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\nGET', 38, '10.0.0.1'],
    ['PROXY TCP6 fd00::1 fd00::2 1000 80\r\n', 36, 'fd00::1'],
  ])('reads version 1: %j', (line, bytes, ip) => {
    expect(readProxyHeader(Buffer.from(line))).toMatchObject({
      kind: 'header',
      bytes,
      source: { ip, port: 1000 },
    });
  });

  it('reads version 2, and keeps the addresses of LOCAL', () => {
    const signature = '0d0a0d0a000d0a515549540a';
    const header = Buffer.from(`${signature}2111000c0a0000010a00000203e80050`, 'hex');
    expect(readProxyHeader(header)).toMatchObject({
      kind: 'header',
      bytes: 28,
      source: { ip: '10.0.0.1', port: 1000 },
      destination: { ip: '10.0.0.2', port: 80 },
    });
    expect(readProxyHeader(Buffer.from(`${signature}20000000`, 'hex'))).toEqual({
      kind: 'header',
      bytes: 16,
    });
    expect(readProxyHeader(header.subarray(0, 20)).kind).toBe('incomplete');
  });

  it('refuses a malformed line', () => {
    expect(readProxyHeader(Buffer.from('PROXY TCP4 a b c d\r\n')).kind).toBe('invalid');
    expect(readProxyHeader(Buffer.from(`PROXY ${'x'.repeat(200)}`)).kind).toBe('invalid');
    expect(readProxyHeader(Buffer.from('GET / HTTP/1.1\r\n')).kind).toBe('absent');
  });
});

describe('running listener filters', () => {
  function setup(filters: readonly ListenerFilter[], timeoutMs = 15_000) {
    const address = { kind: 'internal', listener: 'test', endpointId: '' } as const;
    const info = () =>
      createConnectionInfo({ remoteAddress: address, localAddress: address, startTimeMs: 0 });
    const { client, server } = createPipe(info(), info());
    const clock = new ManualClock();
    const outcomes: ListenerFilterOutcome[] = [];
    runListenerFilters({
      connection: server,
      filters: filters.map((filter) => ({ filter, disabledFor: () => false })),
      timeoutMs,
      clock,
      done: (outcome) => outcomes.push(outcome),
    });
    return { client, server, clock, outcomes };
  }
  const settle = () => new Promise((resolve) => setImmediate(resolve));

  it('reads only as much as is needed, and gives it all back', async () => {
    const { client, server, outcomes, clock } = setup([httpInspector]);
    client.write(Buffer.from('GET / HT'));
    await settle();
    expect(outcomes).toEqual([]);
    client.write(Buffer.from('TP/1.1\r\nhost: a\r\n\r\n'));
    await settle();
    expect(outcomes).toEqual([{ kind: 'passed' }]);
    expect(server.info.applicationProtocols).toEqual(['http/1.1']);
    expect(clock.pending).toBe(0);
    let received = '';
    server.onData = (chunk) => {
      received += chunk.toString();
    };
    server.resume();
    await settle();
    expect(received).toBe('GET / HTTP/1.1\r\nhost: a\r\n\r\n');
  });

  it('takes out what a filter consumed', async () => {
    const { client, server, outcomes } = setup([proxyProtocol(false), httpInspector]);
    client.write(Buffer.from('PROXY TCP4 10.0.0.1 10.0.0.2 1000 80\r\nPUT / HTTP/1.1\r\n'));
    await settle();
    expect(outcomes).toEqual([{ kind: 'passed' }]);
    expect(server.info.remoteAddress).toEqual({ kind: 'ip', ip: '10.0.0.1', port: 1000 });
    let received = '';
    server.onData = (chunk) => {
      received += chunk.toString();
    };
    server.resume();
    await settle();
    expect(received).toBe('PUT / HTTP/1.1\r\n');
  });

  it('gives up on a silent client after the timeout', async () => {
    const { outcomes, clock } = setup([httpInspector]);
    await clock.advance(15_000);
    expect(outcomes).toEqual([{ kind: 'timeout' }]);
  });

  it('decides by what there is when the client ends', async () => {
    const { client, outcomes } = setup([httpInspector]);
    client.write(Buffer.from('GET'));
    client.end();
    await settle();
    expect(outcomes).toEqual([{ kind: 'passed' }]);
  });

  it('restores the addresses of an internal connection from metadata, else from filter state', () => {
    const byState = setup([]);
    byState.server.info.filterState.set(LOCAL_ADDRESS_KEY, '10.0.0.2:80');
    byState.server.info.filterState.set(REMOTE_ADDRESS_KEY, '[fd00::1]:999');
    const filter = originalDestination(undefined);
    filter.inspect({ connection: byState.server, bytes: Buffer.alloc(0), final: false });
    expect(byState.server.info).toMatchObject({
      localAddress: { kind: 'ip', ip: '10.0.0.2', port: 80 },
      localAddressRestored: true,
      remoteAddress: { kind: 'ip', ip: 'fd00::1', port: 999 },
    });
    byState.server.info.dynamicMetadata.set('envoy.filters.listener.original_dst', { local: '10.0.0.3:81' });
    filter.inspect({ connection: byState.server, bytes: Buffer.alloc(0), final: false });
    expect(byState.server.info.localAddress).toEqual({ kind: 'ip', ip: '10.0.0.3', port: 81 });
  });
});
