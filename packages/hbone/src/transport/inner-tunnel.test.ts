import { afterEach, describe, expect, it } from '@jest/globals';
import { connect } from 'node:net';
import type { SpiffeId } from '@weft/spiffe';
import { SERVER_ID, tunnelPair, listen, CLIENT_ID, type TunnelPair } from '../testing/tunnel-pair.ts';
import type { ConnectRequest } from './connect-request.ts';
import type { InnerTunnelRequest } from './inner-tunnel.ts';
import type { Tunnel } from './pool.ts';
import { relay, socketEnd, tunnelEnd } from './relay.ts';
import { HboneServer } from './server.ts';

const FAR_ID = 'spiffe://cluster.local/ns/far/sa/far';
const closers: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close();
});

interface Networks extends TunnelPair {
  /** What the far end was asked for. */
  readonly requests: ConnectRequest[];
  readonly far: HboneServer;
  inside(outer: Tunnel, more?: Partial<InnerTunnelRequest>): Promise<Tunnel>;
}

/** A gateway that relays every tunnel's bytes to a far server, as an east-west gateway does. */
async function networks(onConnect: (request: ConnectRequest) => void): Promise<Networks> {
  const requests: ConnectRequest[] = [];
  let farPort = 0;
  const pair = await tunnelPair((request) => {
    const upstream = connect({ port: farPort, host: '127.0.0.1', allowHalfOpen: true });
    upstream.pause();
    const counts = { received: 0, sent: 0 };
    void relay(tunnelEnd(request.accept()), socketEnd(upstream), counts, new AbortController().signal).catch(
      () => undefined,
    );
  });
  closers.push(() => pair.close());
  const farCertificate = await pair.authority.issue(FAR_ID);
  const far = new HboneServer({
    certificateFor: () => Promise.resolve(farCertificate),
    onConnect: (request) => {
      requests.push(request);
      onConnect(request);
    },
  });
  const { listener, port } = await listen((socket) => far.accept(socket));
  farPort = port;
  closers.push(() => {
    far.destroy();
    listener.close();
  });
  return {
    ...pair,
    requests,
    far,
    inside: (outer, more) =>
      pair.pool.connectInside(outer, {
        source: CLIENT_ID as SpiffeId, // a constant, of the right form
        acceptable: [FAR_ID],
        authority: 'web.default.svc.cluster.local:80',
        headers: { 'x-forwarded-network': 'near' },
        signal: new AbortController().signal,
        ...more,
      }),
  };
}

const accept = (request: ConnectRequest): void => {
  const stream = request.accept({ baggage: 'k8s.namespace.name=far' });
  stream.attach({
    onData: (chunk) => void stream.write(chunk),
    onEnd: () => stream.end(),
    onDrain: () => undefined,
    onClose: () => undefined,
  });
};

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; !condition(); i++) {
    if (i > 2_000) throw new Error('it never came');
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe('a tunnel inside a tunnel', () => {
  it('reaches the far end with a certificate check and headers of its own, and echoes bytes', async () => {
    const net = await networks(accept);
    const outer = await net.pool.connect(net.request());
    const inner = await net.inside(outer);
    expect(inner.peerIdentity).toBe(FAR_ID);
    expect(inner.responseHeaders.get('baggage')).toBe('k8s.namespace.name=far');
    expect(net.requests[0]?.authority).toBe('web.default.svc.cluster.local:80');
    expect(net.requests[0]?.peerIdentity).toBe(CLIENT_ID);
    expect(net.requests[0]?.headers.get('x-forwarded-network')).toBe('near');
    const data = Buffer.alloc(3_000_000, 'abc');
    const duplex = inner.stream.toDuplex();
    duplex.end(data);
    const chunks: Buffer[] = [];
    for await (const chunk of duplex) chunks.push(chunk as Buffer); // a tunnel yields Buffers
    expect(Buffer.concat(chunks).equals(data)).toBe(true);
  });

  it('is never shared, while the outer connection is', async () => {
    const net = await networks(accept);
    const inner = [];
    for (let i = 0; i < 3; i++) inner.push(await net.inside(await net.pool.connect(net.request())));
    expect(new Set(inner.map(({ session }) => session)).size).toBe(3);
    expect(net.dials()).toBe(1);
    expect(net.far.sessions.size).toBe(3);
  });

  it('ends with its stream, and gives back the place on the outer connection', async () => {
    const net = await networks(accept);
    const outer = await net.pool.connect(net.request());
    const duplex = (await net.inside(outer)).stream.toDuplex();
    duplex.resume().end();
    await until(() => outer.session.activeStreams === 0 && net.far.sessions.size === 0);
    expect(net.pool.sessions.size).toBe(1);
  });

  it.each([
    ['of somebody else', [SERVER_ID], 'WEFT1203'],
    ['if nobody is acceptable', [], 'WEFT1203'],
  ])('refuses the far end %s', async (_, acceptable, code) => {
    const net = await networks(accept);
    const outer = await net.pool.connect(net.request());
    await expect(net.inside(outer, { acceptable })).rejects.toMatchObject({ code });
    await until(() => outer.session.activeStreams === 0);
    expect(net.requests).toEqual([]);
  });

  it('tells the status of a refusal and leaves nothing open', async () => {
    const net = await networks((request) => request.reject(401));
    const outer = await net.pool.connect(net.request());
    await expect(net.inside(outer)).rejects.toMatchObject({ code: 'WEFT1206', status: 401 });
    await until(() => outer.session.activeStreams === 0 && net.far.sessions.size === 0);
    expect(net.pool.sessions.size).toBe(1);
  });

  it('is given up with its signal during the handshake', async () => {
    const pair = await tunnelPair((request) =>
      request.accept().attach({
        onData: () => undefined,
        onEnd: () => undefined,
        onDrain: () => undefined,
        onClose: () => undefined,
      }),
    );
    closers.push(() => pair.close());
    const outer = await pair.pool.connect(pair.request());
    const giveUp = new AbortController();
    const attempt = pair.pool.connectInside(outer, {
      source: CLIENT_ID as SpiffeId, // a constant, of the right form
      acceptable: [FAR_ID],
      authority: 'web:80',
      headers: {},
      signal: giveUp.signal,
    });
    giveUp.abort(new Error('gave up'));
    await expect(attempt).rejects.toThrow('gave up');
    await until(() => outer.session.activeStreams === 0);
  });

  it('is lost with the outer connection', async () => {
    const net = await networks(accept);
    const outer = await net.pool.connect(net.request());
    const { stream, session } = await net.inside(outer);
    let close: string | undefined;
    stream.attach({
      onData: () => undefined,
      onEnd: () => undefined,
      onDrain: () => undefined,
      onClose: ({ kind }) => (close = kind),
    });
    outer.session.destroy();
    await until(() => close !== undefined);
    expect(close).toBe('lost');
    // The pool may have dialled again meanwhile.
    const { sessions } = net.pool;
    await until(() => !sessions.has(outer.session) && !sessions.has(session));
  });
});
