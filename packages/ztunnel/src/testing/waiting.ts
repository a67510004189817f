import type { Socket } from 'node:net';

export async function eventually(
  what: string,
  isTrue: () => Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  for (const deadline = Date.now() + timeoutMs; Date.now() < deadline; await sleep(30)) {
    if (await isTrue().catch(() => false)) return;
  }
  throw new Error(`waited in vain for ${what}`);
}

/** Everything up to the peer's end; closes the socket then. */
export async function readAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of socket) chunks.push(chunk as Buffer); // sockets yield Buffers
  socket.destroy(); // from Node 24 on, the loop leaves a socket open whose own direction hasn't ended
  return Buffer.concat(chunks);
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms);
  });
}
