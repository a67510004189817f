import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import path from 'node:path';
import { createServer as createTlsServer } from 'node:tls';
import { Port, ZTUNNEL_MARK } from '@weft/api';
import { istio } from '@weft/api/workload';
import {
  adoptNetworkNamespace,
  closeDescriptor,
  connectSeqpacket,
  createTcpListener,
  inNetworkNamespace,
  type NetworkNamespace,
} from '@weft/linux';
import { describeError } from '@weft/telemetry';

/** What of a ztunnel the agent sees: ZDS, the listeners, a certificate. Argument: the folder of the chaos test. */
const [dir = ''] = process.argv.slice(2);
const { WorkloadRequest, WorkloadResponse, ZdsHello, Version } = istio.workload.zds;
const tls = {
  cert: readFileSync(path.join(dir, 'cert.pem')),
  key: readFileSync(path.join(dir, 'key.pem')),
  ALPNProtocols: ['h2'],
};

interface Served {
  readonly netns: NetworkNamespace;
  readonly servers: readonly Server[];
}
const pods = new Map<string, Served>();

function listen(netns: NetworkNamespace, port: number, server: Server): Server {
  const { fd } = inNetworkNamespace(netns, () =>
    createTcpListener({ host: '::', port, mark: ZTUNNEL_MARK, reusePort: true, transparent: 'best-effort' }),
  );
  return server.listen({ fd });
}

function add(uid: string, fd: number): void {
  const netns = adoptNetworkNamespace(fd);
  if (pods.get(uid)?.netns.id === netns.id) return netns.close();
  remove(uid);
  const plain = [Port.outboundCapture, Port.inboundCapture, Port.dns].map((port) =>
    listen(
      netns,
      port,
      createServer((socket) => void socket.on('error', () => undefined).end()),
    ),
  );
  const hbone = createTlsServer(tls, (socket) => void socket.on('error', () => undefined).end());
  hbone.on('tlsClientError', () => undefined);
  pods.set(uid, { netns, servers: [...plain, listen(netns, Port.hbone, hbone)] });
}

function remove(uid: string): void {
  const served = pods.get(uid);
  pods.delete(uid);
  for (const server of served?.servers ?? []) server.close();
  served?.netns.close();
}

function connect(): void {
  const again = (): void => void setTimeout(connect, 50);
  let named: Set<string> | undefined = new Set();
  try {
    const connection = connectSeqpacket(path.join(dir, 'ztunnel.sock'));
    connection.onClose = again;
    connection.onPacket = ({ bytes, fds }) => {
      let error = '';
      try {
        const { add: added, keep, del, snapshotSent } = WorkloadRequest.decode(bytes);
        if (added) {
          named?.add(added.uid ?? '');
          add(added.uid ?? '', fds.shift() ?? -1);
        } else if (keep) named?.add(keep.uid ?? '');
        else if (del) {
          named?.delete(del.uid ?? '');
          remove(del.uid ?? '');
        } else if (snapshotSent) {
          for (const uid of [...pods.keys()]) if (named?.has(uid) === false) remove(uid);
          named = undefined;
        }
      } catch (cause) {
        error = describeError(cause);
      }
      fds.forEach(closeDescriptor);
      connection.send(WorkloadResponse.encode({ ack: { error } }).finish());
    };
    connection.send(ZdsHello.encode({ version: Version.V1 }).finish());
  } catch {
    again();
  }
}

connect();
