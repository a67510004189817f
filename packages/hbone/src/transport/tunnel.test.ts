import { expect, it } from '@jest/globals';
import { once } from 'node:events';
import { CLIENT_ID, SERVER_ID, tunnelPair } from '../testing/tunnel-pair.ts';

it('carries bytes and half-closes both ways through a CONNECT', async () => {
  const pair = await tunnelPair((request) => {
    expect(request.authority).toBe('10.0.0.1:80');
    expect(request.target).toEqual({ kind: 'address', host: '10.0.0.1', port: 80 });
    expect(request.headers.get('baggage')).toBe('k8s.namespace.name=client');
    expect(request.peerIdentity).toBe(CLIENT_ID);
    const stream = request.accept({ baggage: 'k8s.namespace.name=server' }).toDuplex();
    stream.pipe(stream);
  });
  try {
    const tunnel = await pair.pool.connect(
      pair.request({ headers: { baggage: 'k8s.namespace.name=client' } }),
    );
    expect(tunnel.peerIdentity).toBe(SERVER_ID);
    expect(tunnel.responseHeaders.get('baggage')).toBe('k8s.namespace.name=server');
    const duplex = tunnel.stream.toDuplex();
    const received: Buffer[] = [];
    duplex.on('data', (chunk: Buffer) => received.push(chunk));
    duplex.write('hello ');
    duplex.end('mesh');
    await once(duplex, 'end');
    expect(Buffer.concat(received).toString()).toBe('hello mesh');
    expect(pair.serverErrors).toEqual([]);
  } finally {
    await pair.close();
  }
});
