import { connect } from 'node:net';
import { connectSeqpacket } from '@weft/linux';

/**
 * Runs in a pod and says what is no sentence of the protocol: `send-garbage.js tcp HOST PORT`, which prints how the
 * other end took it, or `send-garbage.js seqpacket PATH`. Prints `closed` when it was hung up on.
 */
const [kind, target = '', port] = process.argv.slice(2);
const GARBAGE = 'GET / HTTP/1.1\r\nhost: nobody\r\n\r\n\u0000\u00ff';
const PATIENCE_MS = 15_000;

const done = (outcome: string): never => {
  process.stdout.write(`${outcome}\n`);
  process.exit(0);
};
setTimeout(() => done('still open'), PATIENCE_MS);

if (kind === 'seqpacket') {
  const connection = connectSeqpacket(target);
  connection.onClose = () => done('closed');
  connection.send(Buffer.from(GARBAGE));
} else {
  const socket = connect({ host: target, port: Number(port) });
  socket.on('error', () => undefined).on('close', () => done('closed'));
  socket.write(GARBAGE);
  socket.resume();
}
