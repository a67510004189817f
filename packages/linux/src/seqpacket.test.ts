import { closeSync, fstatSync, mkdtempSync, openSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { closeDescriptor } from './descriptor.ts';
import {
  connectSeqpacket,
  SeqpacketServer,
  type SeqpacketConnection,
  type SeqpacketPacket,
} from './seqpacket.ts';

let folder: string;
let path: string;
const owned: { close(): void }[] = [];

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'weft-seqpacket-'));
  path = join(folder, 's.sock');
});
afterEach(() => {
  for (const resource of owned.splice(0)) resource.close();
  rmSync(folder, { recursive: true });
});

async function pair(): Promise<{ client: SeqpacketConnection; server: SeqpacketConnection }> {
  let arrived: (c: SeqpacketConnection) => void = () => undefined;
  const accepted = new Promise<SeqpacketConnection>((resolve) => (arrived = resolve));
  owned.push(SeqpacketServer.listen(path, (c) => arrived(c)));
  const client = connectSeqpacket(path);
  owned.push(client);
  return { client, server: await accepted };
}

const nextPacket = (c: SeqpacketConnection): Promise<SeqpacketPacket> =>
  new Promise((resolve) => (c.onPacket = resolve));

describe('SEQPACKET sockets', () => {
  it('keep packets apart and in order, both ways', async () => {
    const { client, server } = await pair();
    const seen: string[] = [];
    const done = new Promise<void>((resolve) => {
      server.onPacket = ({ bytes }) => {
        seen.push(bytes.toString());
        if (seen.length === 3) resolve();
      };
    });
    for (const text of ['one', 'two', 'three']) client.send(Buffer.from(text));
    await done;
    expect(seen).toEqual(['one', 'two', 'three']);
    const answer = nextPacket(client);
    server.send(Buffer.from('back'));
    expect((await answer).bytes.toString()).toBe('back');
  });

  it('hand over descriptors that refer to the same file', async () => {
    const { client, server } = await pair();
    const fds = [openSync('/dev/null', 'r'), openSync(folder, 'r')];
    const packet = nextPacket(server);
    client.send(Buffer.from('x'), fds);
    const received = (await packet).fds;
    expect(received.map((fd) => fstatSync(fd).ino)).toEqual(fds.map((fd) => fstatSync(fd).ino));
    for (const fd of received) closeDescriptor(fd);
    for (const fd of fds) closeSync(fd);
  });

  it('say when a packet was longer than the limit', async () => {
    let arrived: (c: SeqpacketConnection) => void = () => undefined;
    const accepted = new Promise<SeqpacketConnection>((resolve) => (arrived = resolve));
    owned.push(SeqpacketServer.listen(path, (c) => arrived(c), { maxPacketBytes: 8 }));
    const client = connectSeqpacket(path);
    owned.push(client);
    const packet = nextPacket(await accepted);
    client.send(Buffer.from('123456789'));
    expect(await packet).toMatchObject({ bytes: Buffer.from('12345678'), truncated: true });
    expect(() => client.send(Buffer.alloc(1025))).toThrow(expect.objectContaining({ code: 'EMSGSIZE' }));
  });

  it('tell each end when the other has closed', async () => {
    const { client, server } = await pair();
    const closed = new Promise<Error | undefined>((resolve) => (server.onClose = resolve));
    client.close();
    expect(await closed).toBeUndefined();
    expect(() => server.send(Buffer.from('x'))).toThrow(expect.objectContaining({ code: 'EPIPE' }));
  });

  it('report a peer that does not read instead of queueing without limit', async () => {
    const { client } = await pair();
    expect(() => {
      for (let i = 0; i < 100_000; i++) client.send(Buffer.alloc(1024));
    }).toThrow(expect.objectContaining({ code: 'EAGAIN' }));
  });

  it('replace a file that nobody listens on, but not one in use', () => {
    const first = SeqpacketServer.listen(path, () => undefined, { mode: 0o660 });
    expect(statSync(path).mode & 0o777).toBe(0o660);
    expect(() => SeqpacketServer.listen(path, () => undefined)).toThrow(
      expect.objectContaining({ code: 'EADDRINUSE' }),
    );
    first.close();
    expect(() => connectSeqpacket(path)).toThrow(expect.objectContaining({ code: 'ENOENT' }));
    const second = SeqpacketServer.listen(path, () => undefined);
    owned.push(second);
  });
});
