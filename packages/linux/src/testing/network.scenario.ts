import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { createServer, Socket, type AddressInfo } from 'node:net';
import { once } from 'node:events';
import { readlinkSync } from 'node:fs';
import {
  acceptQueued,
  closeDescriptor,
  ignoreNewConnections,
  PacketCapture,
  createNetworkNamespace,
  createTcpListener,
  createTcpSocket,
  createUdpSocket,
  inNetworkNamespace,
  originalDestination,
  parseTcpSegment,
  sourceAddressTowards,
  setTcpOptions,
  socketDescriptor,
  type NetworkNamespace,
} from '../index.ts';

/** Steps of linux.kernel.test.ts; they run inside a Sandbox. */

const run = (...command: string[]): void => {
  execFileSync(command[0] ?? '', command.slice(1), { stdio: 'pipe' });
};

function namespaceWithLoopback(): NetworkNamespace {
  const namespace = createNetworkNamespace();
  inNetworkNamespace(namespace, () => run('ip', 'link', 'set', 'lo', 'up'));
  return namespace;
}

export function returnsHome(): {
  same: boolean;
  inside: boolean;
  outOfAnother: boolean;
  afterThrow: boolean;
} {
  const here = (): string => readlinkSync('/proc/thread-self/ns/net');
  const home = here();
  const namespace = createNetworkNamespace();
  const inside = inNetworkNamespace(namespace, here);
  const same = here() === home;
  const outOfAnother = inNetworkNamespace(namespace, () => {
    const another = createNetworkNamespace();
    const inAnother = inNetworkNamespace(another, here);
    another.close();
    return inAnother !== inside && here() === inside;
  });
  try {
    inNetworkNamespace(namespace, () => {
      throw new Error('expected');
    });
  } catch {
    // The point is what namespace the thread is in now.
  }
  namespace.close();
  return { same, inside: inside !== home, outOfAnother, afterThrow: here() === home };
}

/** Listens and connects in another namespace, with a mark on both sockets. */
export async function connectsThere(): Promise<{ text: string; transparent: boolean; refusedHere: string }> {
  const namespace = namespaceWithLoopback();
  const listener = inNetworkNamespace(namespace, () =>
    createTcpListener({ host: '::', port: 0, mark: 1337, reusePort: true, transparent: 'best-effort' }),
  );
  const server = createServer({ allowHalfOpen: true }, (socket) => socket.end(socket.remoteAddress ?? ''));
  server.listen({ fd: listener.fd });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { fd } = inNetworkNamespace(namespace, () => createTcpSocket({ family: 4, mark: 1337 }));
  const socket = new Socket({ fd }).connect({ host: '127.0.0.1', port });
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  const stranger = new Socket().connect({ host: '127.0.0.1', port });
  const [error] = (await once(stranger, 'error')) as [NodeJS.ErrnoException];
  server.close();
  namespace.close();
  return { text, transparent: listener.transparent, refusedHere: error.code ?? '' };
}

/** A client address that isn't ours reaches the server, as the node proxy shows clients to applications. */
export async function spoofs(): Promise<{ spoofed: boolean; remote: string }> {
  const namespace = namespaceWithLoopback();
  inNetworkNamespace(namespace, () => {
    run('ip', 'address', 'add', '10.9.0.1/32', 'dev', 'lo');
    run('ip', 'link', 'add', 'out', 'type', 'veth', 'peer', 'name', 'peer');
    run('ip', 'link', 'set', 'out', 'up');
    run('ip', 'link', 'set', 'peer', 'up');
    run('ip', 'route', 'add', 'default', 'dev', 'out');
    run('ip', 'route', 'add', 'local', '0.0.0.0/0', 'dev', 'lo', 'table', '100');
    run('ip', 'rule', 'add', 'fwmark', '0x539', 'lookup', '100');
    run('iptables', '-t', 'mangle', '-A', 'OUTPUT', '-p', 'tcp', '-j', 'MARK', '--set-mark', '0x539');
  });
  const { fd } = inNetworkNamespace(namespace, () => createTcpListener({ host: '::', port: 8080 }));
  const server = createServer((socket) => socket.end(socket.remoteAddress ?? '')).listen({ fd });
  const made = inNetworkNamespace(namespace, () =>
    createTcpSocket({ family: 4, mark: 0x539, bindAddress: '192.0.2.7' }),
  );
  const socket = new Socket({ fd: made.fd }).connect({ host: '10.9.0.1', port: 8080 });
  let remote = '';
  for await (const chunk of socket) remote += String(chunk);
  server.close();
  namespace.close();
  return { spoofed: made.spoofed, remote: remote.replace('::ffff:', '') };
}

/** Redirects a connection with iptables and asks where it was meant to go. */
export async function findsOriginalDestination(family: 4 | 6): Promise<string> {
  const namespace = namespaceWithLoopback();
  const [address, tool] = family === 4 ? ['10.9.0.2', 'iptables'] : ['2001:db8::2', 'ip6tables'];
  inNetworkNamespace(namespace, () => {
    run('ip', 'address', 'add', `${address}/${family === 4 ? 32 : 128}`, 'dev', 'lo');
    run(
      tool,
      '-t',
      'nat',
      '-A',
      'OUTPUT',
      '-p',
      'tcp',
      '--dport',
      '80',
      '-j',
      'REDIRECT',
      '--to-ports',
      '15001',
    );
  });
  const { fd } = inNetworkNamespace(namespace, () => createTcpListener({ host: '::', port: 15001 }));
  const server = createServer((socket) => {
    const descriptor = socketDescriptor(socket) ?? -1;
    setTcpOptions(descriptor, {
      noDelay: true,
      keepAlive: { idleMs: 180_000, intervalMs: 180_000, probes: 9 },
    });
    const found = originalDestination(descriptor);
    socket.end(`${found?.address} ${found?.port}`);
  }).listen({ fd });
  const made = inNetworkNamespace(namespace, () => createTcpSocket({ family }));
  const socket = new Socket({ fd: made.fd }).connect({ host: address, port: 80 });
  let text = '';
  for await (const chunk of socket) text += String(chunk);
  server.close();
  namespace.close();
  return text;
}

/**
 * A listener with connections in its queue gives its port to a second one; more come while it does. `queued` and
 * `during` count those that were served, `refused` all that failed.
 */
export async function handsOver(): Promise<{ queued: number; during: number; refused: number }> {
  const namespace = namespaceWithLoopback();
  const listen = (port: number): number =>
    inNetworkNamespace(namespace, () => createTcpListener({ host: '127.0.0.1', port, reusePort: true }).fd);
  const served = { old: 0, fresh: 0 };
  let refused = 0;
  const first = listen(0);
  const probe = createServer().listen({ fd: first });
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  const ask = async (): Promise<void> => {
    const { fd } = inNetworkNamespace(namespace, () => createTcpSocket({ family: 4 }));
    const socket = new Socket({ fd }).connect({ host: '127.0.0.1', port });
    let text = '';
    try {
      for await (const chunk of socket) text += String(chunk);
    } catch {
      // Counted below.
    }
    if (text === 'served') return;
    refused++;
  };
  // A second descriptor that nobody accepts from is the old proxy: its queue fills.
  const old = listen(port);
  probe.close();
  const queued = Array.from({ length: 8 }, ask);
  await new Promise((resolve) => setTimeout(resolve, 50));
  const fresh = createServer((socket) => {
    served.fresh++;
    socket.end('served');
  });
  fresh.listen({ fd: listen(port) });
  await once(fresh, 'listening');
  ignoreNewConnections(old);
  const during = Array.from({ length: 8 }, ask);
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (let fd = acceptQueued(old); fd !== undefined; fd = acceptQueued(old)) {
    served.old++;
    new Socket({ fd }).end('served');
  }
  closeDescriptor(old);
  await Promise.all([...queued, ...during]);
  fresh.close();
  namespace.close();
  return { queued: served.old, during: served.fresh, refused };
}

/** Captures on loopback what a client says to a server there. */
export async function capturesSegments(): Promise<{ ports: boolean; text: string; afterClose: number }> {
  const namespace = namespaceWithLoopback();
  let text = '';
  let ports = false;
  let frames = 0;
  const listener = inNetworkNamespace(namespace, () => createTcpListener({ host: '127.0.0.1', port: 0 }));
  const server = createServer((socket) => socket.resume().on('end', () => socket.end('bye')));
  server.listen({ fd: listener.fd });
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const capture = inNetworkNamespace(namespace, () =>
    PacketCapture.open('lo', (frame) => {
      frames++;
      const segment = parseTcpSegment(frame);
      if (segment?.destinationPort !== port) return;
      ports ||= segment.source === '127.0.0.1' && segment.sourcePort !== port;
      text += segment.payload.toString('latin1');
    }),
  );
  const say = async (): Promise<void> => {
    const { fd } = inNetworkNamespace(namespace, () => createTcpSocket({ family: 4 }));
    const socket = new Socket({ fd }).connect({ host: '127.0.0.1', port });
    socket.end('hello there');
    for await (const _ of socket);
  };
  await say();
  while (!text.includes('hello')) await new Promise((resolve) => setImmediate(resolve));
  capture.close();
  const before = frames;
  await say();
  server.close();
  namespace.close();
  return { ports, text, afterClose: frames - before };
}

/** A datagram there and back between two sockets in another namespace, on both families. */
export async function exchangesDatagrams(): Promise<string[]> {
  const namespace = namespaceWithLoopback();
  const answers: string[] = [];
  for (const [family, host] of [
    [4, '127.0.0.1'],
    [6, '::1'],
  ] as const) {
    const bind = { host, port: 5353, reusePort: true };
    const [server, client] = inNetworkNamespace(namespace, () => [
      createUdpSocket({ family, bind, mark: 1337 }),
      createUdpSocket({ family }),
    ]).map((fd) => createSocket(family === 4 ? 'udp4' : 'udp6').bind({ fd }));
    if (server === undefined || client === undefined) throw new TypeError('two sockets');
    server.on('message', (text, peer) => server.send(`${text.toString()} back`, peer.port, peer.address));
    client.send('there and', 5353, host);
    const [answer] = (await once(client, 'message')) as [Buffer]; // as dgram emits it
    answers.push(answer.toString());
    server.close();
    client.close();
  }
  namespace.close();
  return answers;
}

/** The address of connections to the namespace itself, to a neighbour, to what there is no way to, and with a mark. */
export function sourceAddresses(): Record<
  'own' | 'own6' | 'neighbour' | 'nowhere' | 'marked',
  string | null
> {
  const namespace = namespaceWithLoopback();
  const result = inNetworkNamespace(namespace, () => {
    run('ip', 'link', 'add', 'card', 'type', 'veth', 'peer', 'name', 'other');
    run('ip', 'link', 'set', 'other', 'up');
    run('ip', 'address', 'add', '10.9.0.1/24', 'dev', 'card');
    run('ip', 'address', 'add', 'fd09::1/64', 'dev', 'card', 'nodad');
    run('ip', 'link', 'set', 'card', 'up');
    run('ip', 'rule', 'add', 'fwmark', '7', 'blackhole');
    const towards = (address: string, mark?: number): string | null =>
      sourceAddressTowards(address, { mark }) ?? null;
    return {
      own: towards('10.9.0.1'),
      own6: towards('fd09::1'),
      neighbour: towards('10.9.0.2'),
      nowhere: towards('192.0.2.1'),
      marked: towards('10.9.0.2', 7),
    };
  });
  namespace.close();
  return result;
}
