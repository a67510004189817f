import { readFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { Port } from '@weft/api';
import { createTcpSocket, inNetworkNamespace, resetSocket, type NetworkNamespace } from '@weft/linux';
import { systemErrorCode } from '@weft/telemetry';

/** A redirected connection never leaves the pod, so its answer takes no time. */
const REDIRECT_TIMEOUT_MS = 1_000;
const IDENTITY_TIMEOUT_MS = 3_000;
/** Reserved for documentation: nobody has them, and no packet for them leaves a captured pod. */
const NOWHERE = { 4: '192.0.2.1', 6: '2001:db8::1' } as const;
const DISCARD_PORT = 9;

/** TCP ports with a listener in the namespace. */
export function listeningPorts(netns: NetworkNamespace): ReadonlySet<number> {
  const tables = inNetworkNamespace(netns, () =>
    // `thread-self`: the namespace is this thread's, not the process's.
    ['tcp', 'tcp6'].map((name) => readFileSync(`/proc/thread-self/net/${name}`, 'utf8')),
  );
  return new Set(tables.flatMap(parseListeners));
}

/** Reads `/proc/net/tcp`: the second field is address and port, the fourth the state, of which 0A is LISTEN. */
export function parseListeners(table: string): readonly number[] {
  return table
    .split('\n')
    .map((line) => line.trim().split(/\s+/))
    .filter((fields) => fields[3] === '0A')
    .map((fields) => Number.parseInt(fields[1]?.split(':').at(-1) ?? '', 16));
}

export type RedirectResult =
  | 'redirected'
  | 'not-redirected'
  /** The pod has no route to anywhere, so that there is nothing to redirect. */
  | 'no-route';

/**
 * Opens a connection from inside the pod to an address that nobody has. Only a redirected one succeeds. ztunnel does
 * not see it: with quick acknowledgements off, the kernel holds back the last packet of the handshake for some
 * milliseconds, and the reset goes first.
 */
export async function probeRedirect(netns: NetworkNamespace, family: 4 | 6): Promise<RedirectResult> {
  const routed = hasDefaultRoute(netns, family);
  const { fd } = inNetworkNamespace(netns, () => createTcpSocket({ family, holdLastHandshakePacket: true }));
  const socket = new Socket({ fd });
  try {
    return await new Promise<RedirectResult>((resolve) => {
      socket.setTimeout(REDIRECT_TIMEOUT_MS, () => resolve('not-redirected'));
      socket.once('connect', () => resolve('redirected'));
      // A router's "unreachable" comes as the same error as our own; only the latter means that nothing can leave.
      socket.once('error', () => resolve(routed ? 'not-redirected' : 'no-route'));
      socket.connect({ host: NOWHERE[family], port: DISCARD_PORT });
    });
  } finally {
    resetSocket(socket);
  }
}

/** The flag of routes that refuse. */
const RTF_REJECT = 0x0200;

function hasDefaultRoute(netns: NetworkNamespace, family: 4 | 6): boolean {
  const file = `/proc/thread-self/net/${family === 4 ? 'route' : 'ipv6_route'}`;
  const lines = inNetworkNamespace(netns, () => readFileSync(file, 'utf8')).split('\n');
  return lines.some((line) => {
    const fields = line.trim().split(/\s+/);
    // IPv4: interface, destination, gateway, flags. IPv6: destination, its length, …, flags, interface.
    const [destination, flags] = family === 4 ? [fields[1], fields[3]] : [fields[0], fields[8]];
    return /^0+$/.test(destination ?? '') && (Number.parseInt(flags ?? '', 16) & RTF_REJECT) === 0;
  });
}

export type IdentityResult =
  | { readonly kind: 'issued'; readonly spiffeId: string; readonly validUntilMs: number }
  | { readonly kind: 'none'; readonly reason: string };

/**
 * Whom ztunnel speaks for in this pod: begins a TLS handshake with its HBONE port from inside and reads the
 * certificate, which the server shows before it asks for ours. Who presents it is not verified, for this finds
 * faults, not attackers.
 */
export async function probeIdentity(netns: NetworkNamespace): Promise<IdentityResult> {
  const { fd } = inNetworkNamespace(netns, () => createTcpSocket({ family: 4 }));
  const socket = new Socket({ fd });
  try {
    return await new Promise<IdentityResult>((resolve) => {
      const fail = (reason: string): void => resolve({ kind: 'none', reason });
      socket.setTimeout(IDENTITY_TIMEOUT_MS, () => fail('no answer'));
      socket.once('error', (error) => fail(systemErrorCode(error) ?? error.message));
      socket.connect({ host: '127.0.0.1', port: Port.hbone }, () => {
        const tls = connectTls({
          socket,
          ALPNProtocols: ['h2'],
          minVersion: 'TLSv1.3',
          rejectUnauthorized: false,
        });
        tls.once('secureConnect', () => {
          const { subjectaltname = '', valid_to: validTo } = tls.getPeerCertificate();
          const spiffeId = /URI:(spiffe:[^,\s]+)/.exec(subjectaltname)?.[1];
          if (spiffeId === undefined) fail('the certificate names no SPIFFE identity');
          else resolve({ kind: 'issued', spiffeId, validUntilMs: Date.parse(validTo) });
        });
        tls.on('error', (error) => fail(systemErrorCode(error) ?? error.message));
      });
    });
  } finally {
    socket.destroy();
  }
}
