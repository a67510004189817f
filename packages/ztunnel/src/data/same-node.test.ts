import { beforeEach, describe, expect, it } from '@jest/globals';
import type { MemoryHandshake, RelayEnd } from '@weft/hbone';
import type { WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import { Connection } from './connection.ts';
import type { IncomingTunnel } from './incoming-tunnel.ts';
import type { Revocation } from './revocation.ts';
import { type LocalPodEnd, SameNodeTunnels, type TunnelOrder } from './same-node.ts';
import { at, ip } from '../testing/records.ts';

const order: TunnelOrder = {
  kind: 'tunnel',
  upstream: at('10.0.0.2', 15_008),
  authority: '10.0.0.2:8080',
  identity: 'spiffe://cluster.local/ns/default/sa/client',
  acceptableIdentities: ['spiffe://cluster.local/ns/default/sa/server'],
  sourceIp: ip('10.0.0.1'),
  headers: [],
  sameNode: { podUid: 'server', sourceIps: [ip('10.0.0.1')] },
};
const HOUR_MS = 3_600_000;
const certificate = { notAfter: new Date(Date.now() + HOUR_MS) } as WorkloadCertificate; // nothing else is looked at
const peer = {} as never; // a certificate, which only the revocation looks at
const end = {} as RelayEnd; // which nobody uses

let served: IncomingTunnel[];
let proofs: number;
let refusal: WeftError | undefined;
let isProven: boolean;
let near: Connection;

beforeEach(() => {
  served = [];
  proofs = 0;
  refusal = undefined;
  isProven = true;
  near = new Connection(1);
});

function pod(addresses: readonly string[], serve: (tunnel: IncomingTunnel) => void): LocalPodEnd {
  return {
    isOpen: true,
    serverCertificate: () => Promise.resolve(certificate),
    sourceTowards: (to) => (addresses.includes(to) ? to : ip('10.0.0.1')),
    serveTunnel: (tunnel) => {
      served.push(tunnel);
      return Promise.resolve(serve(tunnel));
    },
  };
}

const far = new Connection(2);
const accepting = pod(['10.0.0.2'], (tunnel) => tunnel.accept([], end, far));
const client = pod(['10.0.0.1'], () => undefined);

function tunnels(server: LocalPodEnd | undefined, maxAgeMs = HOUR_MS): SameNodeTunnels {
  return new SameNodeTunnels({
    handshake: {
      prove: () => {
        proofs++;
        const pair = { client: peer, server: peer, clientIdentity: order.identity };
        return isProven ? Promise.resolve(pair) : Promise.reject(new WeftError('WEFT1201', 'no'));
      },
    } as unknown as MemoryHandshake, // its one method
    revocation: { check: () => refusal } as unknown as Revocation, // the one method in use
    certificateFor: () => Promise.resolve(certificate),
    podAt: () => server,
    maxAgeMs,
  });
}

const open = (from: SameNodeTunnels, connection = near): ReturnType<SameNodeTunnels['open']> =>
  from.open(order, connection, { pod: client, port: 4000 });

describe('SameNodeTunnels', () => {
  it('lets the pod serve the tunnel as if it had come from the proven client', async () => {
    expect(await open(tunnels(accepting))).toBeInstanceOf(Function);
    expect(served[0]).toMatchObject({
      peer: at('10.0.0.1', 4000),
      localIp: '10.0.0.2',
      peerIdentity: order.identity,
      authority: '10.0.0.2:8080',
      relayOf: near.id,
    });
  });

  it.each([
    ['the thread does not have the pod', () => undefined],
    ['the pod does not have the address', () => pod([], () => undefined)],
    ['the certificates do not prove themselves', () => ((isProven = false), accepting)],
    ['a certificate was revoked meanwhile', () => ((refusal = new WeftError('WEFT1608', 'x')), accepting)],
    ['the pod has left meanwhile', () => ({ ...accepting, isOpen: false })],
  ])('leaves it to HBONE when %s', async (_, server) => {
    expect(await open(tunnels(server()))).toBeUndefined();
    expect(served).toEqual([]);
  });

  it.each([
    ['of another pod', '10.0.0.3'],
    ['that is unknown', '192.0.2.1'],
  ])('leaves it to HBONE when the client has given itself an address %s', async (_, address) => {
    const spoofing = { ...client, sourceTowards: () => ip(address) };
    expect(await tunnels(accepting).open(order, near, { pod: spoofing, port: 4000 })).toBeUndefined();
    expect(served).toEqual([]);
  });

  it('has a pair prove itself once, until that is too old', async () => {
    const lasting = tunnels(accepting);
    await Promise.all([open(lasting), open(lasting, new Connection(3))]);
    await open(lasting, new Connection(4));
    expect(proofs).toBe(1);
    const short = tunnels(accepting, 0);
    await open(short);
    await open(short, new Connection(3));
    expect(proofs).toBe(3);
  });

  it('tells the status of a refusal as the answer of a tunnel', async () => {
    const refusing = pod(['10.0.0.2'], (tunnel) => tunnel.reject(401));
    await expect(open(tunnels(refusing))).rejects.toMatchObject({
      code: 'WEFT1206',
      message: '10.0.0.2:15008 answered CONNECT 10.0.0.2:8080 with 401',
    });
  });

  it('ends with its client while the pod has not answered, and tells the pod', async () => {
    const opening = open(tunnels(pod(['10.0.0.2'], () => undefined)));
    await new Promise((resolve) => setImmediate(resolve));
    near.cut({ code: 'WEFT1325', message: 'gone', flag: 'CONNECT' });
    await expect(opening).rejects.toThrow('gone');
    expect(served[0]?.signal.aborted).toBe(true);
  });

  it('cuts both ends of what is revoked, each with what it would hear', async () => {
    const own = new Connection(5);
    const all = tunnels(pod(['10.0.0.2'], (tunnel) => tunnel.accept([], end, own)));
    await open(all);
    all.cutRevoked();
    expect(near.signal.aborted).toBe(false);
    refusal = new WeftError('WEFT1608', 'x');
    all.cutRevoked();
    for (const { signal } of [near, own])
      expect(signal.reason).toMatchObject({ failure: { code: 'WEFT1608', flag: 'CERT_REVOKED' } });
    expect(await open(all, new Connection(6))).toBeUndefined();
  });
});
