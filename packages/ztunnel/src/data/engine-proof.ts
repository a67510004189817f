import { once } from 'node:events';
import {
  connectSocket,
  HbonePool,
  HboneServer,
  Reactor,
  ReactorListener,
  type TunnelStream,
} from '@weft/hbone';
import { createTcpListener, createTcpSocket } from '@weft/linux';
import {
  CertificateAuthority,
  createKeyPair,
  privateKeyPem,
  toSpiffeId,
  type WorkloadCertificate,
  workloadCertificate,
} from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';

const IDENTITY = toSpiffeId('spiffe://weft.invalid/ns/proof/sa/proof');
const PROOF_TIMEOUT_MS = 5_000;
/** More than a record, and than a first flight. */
const PROOF_BYTES = 200_000;

/**
 * Proves that the fast engine works in this process: a tunnel to itself over loopback, with a certificate made for it,
 * must bring back what was sent. @throws WEFT1343 with what is missing
 */
export async function proveFastEngine(): Promise<void> {
  const signal = AbortSignal.timeout(PROOF_TIMEOUT_MS);
  let reactor: Reactor | undefined;
  try {
    reactor = new Reactor();
    await tunnelToItself(reactor, await ownCertificate(), signal);
  } catch (cause) {
    throw new WeftError('WEFT1343', 'the portable engine is used', { cause });
  } finally {
    reactor?.close();
  }
}

async function tunnelToItself(
  reactor: Reactor,
  certificate: WorkloadCertificate,
  signal: AbortSignal,
): Promise<void> {
  const certificateFor = (): Promise<WorkloadCertificate> => Promise.resolve(certificate);
  const server = new HboneServer({
    certificateFor,
    onConnect: (request) => {
      const wire = request.accept().toDuplex();
      wire.on('error', () => undefined).pipe(wire);
    },
  });
  const { fd } = createTcpListener({ host: '127.0.0.1', port: 0 });
  const address = { ip: '127.0.0.1', port: reactor.io.localAddress(fd)?.port ?? 0 };
  const listener = new ReactorListener(reactor, fd, {
    socket: (socket) => server.accept(socket),
    error: () => undefined, // the dial fails then
  });
  const timeout = { ms: PROOF_TIMEOUT_MS, error: () => new Error('no connection to the own listener') };
  const pool = new HbonePool({
    certificateFor,
    dial: (_key, dialSignal) =>
      connectSocket(reactor, createTcpSocket({ family: 4 }).fd, { ...address, signal: dialSignal, timeout }),
  });
  try {
    const { stream } = await pool.connect({
      source: IDENTITY,
      acceptable: [IDENTITY],
      address,
      sourceIp: address.ip,
      authority: '127.0.0.1:1',
      headers: {},
      signal,
    });
    await echo(stream, signal);
  } finally {
    pool.close();
    server.destroy();
    listener.close();
  }
}

async function echo(stream: TunnelStream, signal: AbortSignal): Promise<void> {
  const sent = Buffer.alloc(PROOF_BYTES, 'fast engine ');
  const received: Buffer[] = [];
  const wire = stream.toDuplex();
  wire.on('error', () => undefined); // when the time is over before its end
  wire.on('data', (chunk: Buffer) => received.push(chunk));
  wire.end(sent);
  await once(wire, 'end', { signal });
  if (!Buffer.concat(received).equals(sent)) throw new Error('the tunnel changed what it carried');
}

async function ownCertificate(): Promise<WorkloadCertificate> {
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  const authority = await CertificateAuthority.createSelfSigned({
    subject: { organizations: ['weft.invalid'] },
    keyPem,
  });
  const { publicKey, privateKey } = await createKeyPair();
  const { chainPem } = authority.sign({ publicKey, uriSans: [IDENTITY], ttlMs: 3_600_000 });
  return workloadCertificate(IDENTITY, privateKey, [chainPem, authority.rootsPem]);
}
