import { createInterface } from 'node:readline';
import grpc from '@grpc/grpc-js';
import { register } from '@grpc/grpc-js-xds';

/**
 * A gRPC client as an application has it, in a process of its own since the plugin is global: for each line `target`
 * on stdin it calls once, and answers with one line: what the backend said, or the status.
 */
register();
const clients = new Map<string, grpc.Client>();
const keep = (bytes: Buffer): Buffer => bytes;
const CALL_TIMEOUT_MS = 5_000;

createInterface({ input: process.stdin }).on('line', (target) => {
  let client = clients.get(target);
  if (client === undefined) {
    client = new grpc.Client(`xds:///${target}`, grpc.credentials.createInsecure());
    clients.set(target, client);
  }
  const deadline = Date.now() + CALL_TIMEOUT_MS;
  client.makeUnaryRequest(
    '/test.Echo/Say',
    keep,
    keep,
    Buffer.from('hello'),
    { deadline },
    (error, answer) => {
      const said =
        error === null ? (answer?.toString() ?? '') : `${grpc.status[error.code]} ${error.details}`;
      process.stdout.write(`${said.replaceAll('\n', ' ')}\n`);
    },
  );
});
