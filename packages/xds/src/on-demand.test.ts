import { BinaryReader } from '@bufbuild/protobuf/wire';
import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { afterEach, expect, it } from '@jest/globals';
import { DeltaServer } from './delta-server.ts';
import type { DeltaRequestFields, Node } from './delta-message.ts';
import { MemorySource } from './resource-source.ts';
import { type VersionedResource, versionedResource } from './resource.ts';

/** What a client gets that names what it wants, read by a decoder that isn't ours. */

const typeUrl = 'type.googleapis.com/test.Address';
const { DeltaDiscoveryRequest } = envoy.service.discovery.v3;

/** Names are `group/name`; whoever asks for a group gets what is in it. */
class GroupedSource extends MemorySource {
  resolve(name: string): readonly VersionedResource[] {
    const exact = this.get(name);
    const others = [...this.list()].filter(
      (r) => r.aliases?.includes(name) === true || this.groups(r.name).includes(name),
    );
    return [...(exact === undefined ? [] : [exact]), ...others];
  }
  groups(name: string): readonly string[] {
    return [name.split('/')[0] ?? ''];
  }
  implicitNames(node: Node): readonly string[] {
    return [node.id ?? ''];
  }
}

interface Received {
  readonly resources: readonly { readonly name: string; readonly aliases: readonly string[] }[];
  readonly removed: readonly string[];
  readonly nonce: string;
}

function read(bytes: Uint8Array): Received {
  const resources: { name: string; aliases: string[] }[] = [];
  const removed: string[] = [];
  let nonce = '';
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 2) resources.push(readResource(reader.bytes()));
    else if (number === 5) nonce = reader.string();
    else if (number === 6) removed.push(reader.string());
    else reader.skip(wireType);
  }
  return { resources, removed, nonce };
}

function readResource(bytes: Uint8Array): { name: string; aliases: string[] } {
  const resource = { name: '', aliases: [] as string[] };
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (number === 3) resource.name = reader.string();
    else if (number === 4) resource.aliases.push(reader.string());
    else reader.skip(wireType);
  }
  return resource;
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const closer of closers.splice(0).reverse()) closer();
});

async function connect() {
  const source = new GroupedSource(typeUrl);
  const ads = new DeltaServer<undefined>({
    types: [{ source }],
    authenticate: () => Promise.resolve(undefined),
    debounceMs: 5,
  });
  const server = new grpc.Server();
  ads.addTo(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure());
  const keep = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(DELTA_ADS_METHOD, keep, keep);
  closers.push(() => {
    call.cancel();
    client.close();
    ads.close();
    server.forceShutdown();
  });
  call.on('error', () => undefined);
  const waiting: Received[] = [];
  let wake = (): void => undefined;
  call.on('data', (bytes: Buffer) => {
    waiting.push(read(bytes));
    wake();
  });
  const request = (fields: DeltaRequestFields): void => {
    const message = { node: { id: 'mine' }, typeUrl, ...fields };
    call.write(Buffer.from(DeltaDiscoveryRequest.encode(message).finish()));
  };
  const next = async (): Promise<{ names: string[]; removed: readonly string[] }> => {
    while (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    const { resources = [], removed = [], nonce = '' } = waiting.shift() ?? {};
    request({ responseNonce: nonce });
    return { names: resources.map(({ name, aliases }) => [name, ...aliases].join(' ')), removed };
  };
  const put = (...names: string[]): void =>
    source.update({
      upserted: names.map((name) => versionedResource(name, Buffer.from(name), [`@${name}`])),
    });
  return { source, request, next, put };
}

const begin: DeltaRequestFields = { resourceNamesUnsubscribe: ['*'] };

it('gets what it names by name, alias or group, with what it did not name but is its own', async () => {
  const { request, next, put } = await connect();
  put('g/1', 'g/2', 'h/1', 'mine/1', 'other/1');
  request({ ...begin, resourceNamesSubscribe: ['@h/1', 'g', 'nothing'] });
  const { names, removed } = await next();
  expect([...names].sort()).toEqual(['g/1 @g/1', 'g/2 @g/2', 'h/1 @h/1', 'mine/1 @mine/1']);
  expect(removed).toEqual(['nothing']);
});

it('is answered also when there is nothing, and about new names only', async () => {
  const { request, next, put } = await connect();
  put('g/1');
  request(begin);
  expect(await next()).toEqual({ names: [], removed: [] });
  request({ resourceNamesSubscribe: ['g/1'] });
  expect(await next()).toEqual({ names: ['g/1 @g/1'], removed: [] });
  request({ resourceNamesSubscribe: ['gone'] });
  expect(await next()).toEqual({ names: [], removed: ['gone'] });
});

it('gets what is added later to what it follows, and every change of it, and nothing else', async () => {
  const { source, request, next, put } = await connect();
  request({ ...begin, resourceNamesSubscribe: ['g', '@later/1'] });
  await next();
  put('other/1', 'g/1', 'mine/1', 'later/1');
  expect((await next()).names.sort()).toEqual(['g/1 @g/1', 'later/1 @later/1', 'mine/1 @mine/1']);
  source.update({ removed: ['other/1', 'g/1'] });
  expect(await next()).toEqual({ names: [], removed: ['g/1'] });
  request({ resourceNamesUnsubscribe: ['g', 'later/1', '@later/1'] });
  request({ resourceNamesSubscribe: ['fence'] });
  await next();
  put('g/2', 'mine/2');
  expect(await next()).toEqual({ names: ['mine/2 @mine/2'], removed: [] });
});
