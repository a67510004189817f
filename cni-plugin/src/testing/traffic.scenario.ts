import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { createServer, Socket, type Server } from 'node:net';
import { Port, ZTUNNEL_MARK } from '@weft/api';
import {
  createNetworkNamespace,
  createTcpListener,
  createTcpSocket,
  createUdpSocket,
  inNetworkNamespace,
  originalDestination,
  socketDescriptor,
  type NetworkNamespace,
} from '@weft/linux';
import { listeningPorts, probeRedirect } from '../agent/capture-probes.ts';
import { commandRunner } from '../rules/command.ts';
import { IptablesHostRules } from '../rules/host-iptables.ts';
import { NftHostRules } from '../rules/host-nftables.ts';
import { PodRedirection } from '../rules/pod-redirection.ts';
import type { PodRuleOptions } from '../rules/pod-rules.ts';
import { settingsFor } from './redirection.scenario.ts';

/**
 * Where traffic goes, with real sockets. A pod with an application and what stands for ztunnel, which only says where
 * a connection came out; beside it a node, behind which are a peer and a virtual machine of the pod.
 *
 *     peer ──── node ──── pod (application, listeners) ──── net1: virtual machine
 */
const POD = { 4: '10.9.0.1', 6: 'fd09::1' } as const;
const NODE = { 4: '10.9.0.2', 6: 'fd09::2' } as const;
const PEER = { 4: '10.7.0.1', 6: 'fd07::1' } as const;
const APP_PORT = 8080;
const ANSWER_TIMEOUT_MS = 400;

interface World {
  readonly pod: NetworkNamespace;
  readonly node: NetworkNamespace;
  readonly peer: NetworkNamespace;
  readonly machine: NetworkNamespace;
  readonly close: () => void;
}

function link(a: NetworkNamespace, nameA: string, b: NetworkNamespace, nameB: string): void {
  const path = (n: NetworkNamespace): string => `/proc/${process.pid}/fd/${n.fd}`;
  commandRunner(a).run('ip', ['link', 'add', nameA, 'type', 'veth', 'peer', 'name', nameB, 'netns', path(b)]);
  for (const [n, name] of [
    [a, nameA],
    [b, nameB],
  ] as const)
    commandRunner(n).run('ip', ['link', 'set', name, 'up']);
}

function build(): World {
  const [pod, node, peer, machine] = [0, 0, 0, 0].map(createNetworkNamespace) as [
    NetworkNamespace,
    NetworkNamespace,
    NetworkNamespace,
    NetworkNamespace,
  ]; // map keeps the length
  for (const n of [pod, node, peer, machine]) {
    // Without waiting for somebody else to have the same address.
    commandRunner(n).run('sysctl', ['-qw', 'net.ipv6.conf.default.accept_dad=0']);
    commandRunner(n).run('ip', ['link', 'set', 'lo', 'up']);
  }
  link(node, 'to-pod', pod, 'eth0');
  link(node, 'to-peer', peer, 'eth0');
  link(pod, 'net1', machine, 'eth0');
  const ip = (n: NetworkNamespace, line: string): void => void commandRunner(n).run('ip', line.split(' '));
  for (const [n, address, device] of [
    [pod, POD, 'eth0'],
    [node, NODE, 'to-pod'],
    [peer, PEER, 'eth0'],
    [node, { 4: '10.7.0.2', 6: 'fd07::2' }, 'to-peer'],
    [pod, { 4: '10.8.0.1', 6: 'fd08::1' }, 'net1'],
    [machine, { 4: '10.8.0.2', 6: 'fd08::2' }, 'eth0'],
  ] as const) {
    ip(n, `-4 addr add ${address[4]}/24 dev ${device}`);
    ip(n, `-6 addr add ${address[6]}/64 dev ${device} nodad`);
  }
  for (const [n, via] of [
    [pod, NODE],
    [peer, { 4: '10.7.0.2', 6: 'fd07::2' }],
    [machine, { 4: '10.8.0.1', 6: 'fd08::1' }],
  ] as const) {
    ip(n, `-4 route add default via ${via[4]}`);
    ip(n, `-6 route add default via ${via[6]}`);
  }
  ip(node, `-4 route add 10.8.0.0/24 via ${POD[4]}`);
  ip(node, `-6 route add fd08::/64 via ${POD[6]}`);
  for (const n of [node, pod]) {
    commandRunner(n).run('sysctl', ['-qw', 'net.ipv4.ip_forward=1', 'net.ipv6.conf.all.forwarding=1']);
  }
  return { pod, node, peer, machine, close: () => [pod, node, peer, machine].forEach((n) => n.close()) };
}

/** Says its name, whom it sees and, if the connection was redirected, where it was meant to go. */
function serve(n: NetworkNamespace, port: number, name: string, o: { mark?: number } = {}): Server {
  const { fd } = inNetworkNamespace(n, () =>
    createTcpListener({ host: '::', port, transparent: 'best-effort', ...o }),
  );
  const server = createServer((socket) => {
    const meant = port === Port.outboundCapture || port === Port.inboundCapture || port === Port.dns;
    const original = meant ? originalDestination(socketDescriptor(socket) ?? -1) : undefined;
    const plain = (address = ''): string => address.replace('::ffff:', '');
    const to = original === undefined ? '' : ` for ${plain(original.address)}:${original.port}`;
    socket.on('error', () => undefined).end(`${name} from ${plain(socket.remoteAddress)}${to}`);
  });
  return server.listen({ fd });
}

function serveUdp(
  n: NetworkNamespace,
  family: 4 | 6,
  host: string,
  name: string,
  port: number = 53,
): UdpSocket {
  const fd = inNetworkNamespace(n, () => createUdpSocket({ family, bind: { host, port, reusePort: true } }));
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
  socket.on('message', (_message, from) => socket.send(name, from.port, from.address));
  socket.bind({ fd });
  return socket;
}

type TcpCall = (
  n: NetworkNamespace,
  host: string,
  port: number,
  o?: { mark?: number; bindAddress?: string },
) => Promise<string>;

const call: TcpCall = (n, host, port, o = {}) => {
  const family = host.includes(':') ? 6 : 4;
  const { fd } = inNetworkNamespace(n, () => createTcpSocket({ family, ...o }));
  const socket = new Socket({ fd }).connect({ host, port });
  return new Promise((resolve) => {
    let text = '';
    socket.setTimeout(ANSWER_TIMEOUT_MS, () => resolve('nothing'));
    socket.on('data', (data) => (text += data.toString())).on('end', () => resolve(text));
    socket.on('error', (error) => resolve('code' in error ? String(error.code) : error.message));
  }).then((result) => {
    socket.destroy();
    return String(result);
  });
};

function ask(n: NetworkNamespace, host: string, o: { mark?: number } = {}): Promise<string> {
  const family = host.includes(':') ? 6 : 4;
  const { mark } = o;
  const fd = inNetworkNamespace(n, () =>
    createUdpSocket({
      family,
      ...(mark === undefined ? {} : { mark }),
      bind: { host: family === 4 ? '0.0.0.0' : '::', port: 0, reusePort: false },
    }),
  );
  const socket = createSocket(family === 4 ? 'udp4' : 'udp6');
  socket.bind({ fd });
  return new Promise<string>((resolve) => {
    const timer = setTimeout(() => resolve('nothing'), ANSWER_TIMEOUT_MS);
    const answer = (text: string): void => {
      clearTimeout(timer);
      resolve(text);
    };
    socket.on('message', (message, sender) =>
      answer(`${message.toString()} from ${sender.address}:${sender.port}`),
    );
    socket.on('error', (error) => answer(error.message));
    socket.send('?', 53, host);
  }).finally(() => socket.close());
}

const redirectedPorts = [Port.outboundCapture, Port.inboundCapture, Port.hbone, Port.dns];

/** Every path of §13 in one pod. Keys say what connects to what. */
export async function sendsTraffic(
  name: string,
  rules: Partial<PodRuleOptions>,
): Promise<Record<string, string>> {
  const world = build();
  const { pod, node, peer, machine } = world;
  const ztunnel = redirectedPorts.map((port) => serve(pod, port, String(port), { mark: ZTUNNEL_MARK }));
  const servers = [serve(pod, APP_PORT, 'app'), ...[APP_PORT, 53].map((port) => serve(peer, port, 'peer'))];
  const dns = (
    [
      [pod, 4, '127.0.0.1', '15053', Port.dns],
      [pod, 6, '::1', '15053', Port.dns],
    ] as const
  ).map(([n, family, host, title, port]) => serveUdp(n, family, host, title, port));
  dns.push(serveUdp(peer, 4, '0.0.0.0', 'peer'), serveUdp(peer, 6, '::', 'peer'));
  const redirection = new PodRedirection(commandRunner(pod), settingsFor(name));
  redirection.apply({ bypassInbound: false, dnsCapture: true, virtualInterfaces: [], ...rules });
  const host = (() => {
    const settings = settingsFor(name);
    return settings.backend.kind === 'nftables'
      ? new NftHostRules(commandRunner(node), settings, 0)
      : new IptablesHostRules(commandRunner(node), settings.backend.variant, settings);
  })();
  host.install();
  host.addPod('pod', [POD[4], POD[6]]);
  const results: Record<string, string> = {};
  for (const v of [4, 6] as const) {
    const loopback = v === 4 ? '127.0.0.1' : '::1';
    const of = async (title: string, result: Promise<string>): Promise<void> => {
      results[`${title} v${v}`] = await result;
    };
    await of('application to peer', call(pod, PEER[v], APP_PORT));
    await of('ztunnel to peer', call(pod, PEER[v], APP_PORT, { mark: ZTUNNEL_MARK }));
    await of('peer to application', call(peer, POD[v], APP_PORT));
    await of('peer to 15008', call(peer, POD[v], Port.hbone));
    await of('probe of the node', call(node, POD[v], APP_PORT));
    await of(
      'ztunnel as peer to application',
      call(pod, POD[v], APP_PORT, { mark: ZTUNNEL_MARK, bindAddress: PEER[v] }),
    );
    await of('application to itself', call(pod, POD[v], APP_PORT));
    await of('application to loopback', call(pod, loopback, APP_PORT));
    await of('virtual machine to peer', call(machine, PEER[v], APP_PORT));
    await of('DNS over TCP', call(pod, PEER[v], 53));
    await of('DNS over UDP', ask(pod, PEER[v]));
    await of('DNS of ztunnel', ask(pod, PEER[v], { mark: ZTUNNEL_MARK }));
    results[`audit v${v}`] = await probeRedirect(pod, v);
  }
  results['listeners'] = redirectedPorts.every((p) => listeningPorts(pod).has(p)) ? 'seen' : 'not seen';
  for (const server of [...ztunnel, ...servers]) server.close();
  for (const socket of dns) socket.close();
  world.close();
  return results;
}

/** The audit's probe where rules are, where they are not, and how much of it the listener sees. */
export async function probesUnseen(name: string): Promise<Record<string, string | number>> {
  const world = build();
  const { pod } = world;
  let accepted = 0;
  const { fd } = inNetworkNamespace(pod, () => createTcpListener({ host: '::', port: Port.outboundCapture }));
  const server = createServer((socket) => {
    accepted++;
    socket.on('error', () => undefined);
  }).listen({ fd });
  const without = await probeRedirect(pod, 4);
  const redirection = new PodRedirection(commandRunner(pod), settingsFor(name));
  redirection.apply({ bypassInbound: false, dnsCapture: false, virtualInterfaces: [] });
  const results: string[] = [];
  for (const family of [4, 6] as const) {
    const before = accepted;
    const again = (): void => void (accepted = before);
    results.push(await quickly(() => probeRedirect(pod, family), again));
  }
  const withRules = results.join(' ');
  server.close();
  await new Promise((resolve) => setImmediate(resolve));
  const withoutListener = await probeRedirect(pod, 4);
  commandRunner(pod).run('ip', ['route', 'del', 'default']);
  const withoutRoute = await probeRedirect(pod, 4);
  world.close();
  return { without, withRules, accepted, withoutListener, withoutRoute };
}

/** The kernel holds the packet back for 40 ms at least; a machine that stalls for as long shows nothing, and is asked again. */
async function quickly(probe: () => Promise<string>, again: () => void): Promise<string> {
  for (let tries = 0; tries < 50; tries++) {
    const start = performance.now();
    const result = await probe();
    const tookMs = performance.now() - start;
    await new Promise((resolve) => setTimeout(resolve, 150));
    if (tookMs < 30) return result;
    again();
  }
  return 'the machine stalls';
}
