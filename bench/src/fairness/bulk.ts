import { connect, createServer } from 'node:net';

/** A process of its own, so that its work is not the measurement's: `bulk.js sink PORT` or `bulk.js source IP PORT`. */
const [role, ...args] = process.argv.slice(2);
process.on('disconnect', () => process.exit());

if (role === 'sink') {
  createServer((socket) => socket.on('error', () => undefined).resume()).listen(Number(args[0]), '::', () =>
    process.send?.('ready'),
  );
} else {
  const chunk = Buffer.alloc(256 * 1024);
  const socket = connect({ host: args[0] ?? '', port: Number(args[1]) });
  const fill = (): void => {
    while (socket.write(chunk));
  };
  socket.on('connect', () => {
    process.send?.('ready');
    fill();
  });
  socket.on('drain', fill);
}
