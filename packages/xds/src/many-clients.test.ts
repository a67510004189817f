import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { afterEach, expect, it } from '@jest/globals';
import { ManualClock } from '@weft/telemetry';
import { DeltaServer, type DeltaServerOptions, deltaServerChannelOptions } from './delta-server.ts';
import { type DeltaRequestFields, readDeltaResponse } from './delta-message.ts';
import { MemorySource } from './resource-source.ts';
import { type VersionedResource, versionedResource } from './resource.ts';
import { MAX_NAMES } from './stream-subscriptions.ts';

/** Many clients, slow ones and hostile ones, and what the others notice of them: nothing. */

const DEBOUNCE_MS = 5;
const typeUrl = 'type.googleapis.com/test.Address';
const { DeltaDiscoveryRequest } = envoy.service.discovery.v3;

/** Counts how many answers are being made at once. */
class CountingSource extends MemorySource {
  peak = 0;
  private listing = 0;

  override *list(): Iterable<VersionedResource> {
    this.peak = Math.max(this.peak, ++this.listing);
    try {
      yield* super.list();
    } finally {
      this.listing--;
    }
  }
}

const closers: (() => void)[] = [];
afterEach(() => {
  for (const closer of closers.splice(0).reverse()) closer();
});

async function serve(resources: number, bytes: number, o: Partial<DeltaServerOptions<undefined>> = {}) {
  const source = new CountingSource(typeUrl);
  source.update({
    upserted: Array.from({ length: resources }, (_, i) => versionedResource(`r${i}`, Buffer.alloc(bytes, i))),
  });
  const ads = new DeltaServer<undefined>({
    types: [{ source }],
    authenticate: () => Promise.resolve(undefined),
    debounceMs: DEBOUNCE_MS,
    connectionsPerSecond: 100_000,
    ...o,
  });
  const server = new grpc.Server(deltaServerChannelOptions);
  ads.addTo(server);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  closers.push(() => {
    ads.close();
    server.forceShutdown();
  });
  return { source, ads, port };
}

function channel(port: number): grpc.Client {
  const client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
    'grpc.use_local_subchannel_pool': 1,
    'grpc.max_receive_message_length': -1,
  });
  closers.push(() => client.close());
  return client;
}

function stream(client: grpc.Client, id = 'ztunnel') {
  const keep = (bytes: Buffer): Buffer => bytes;
  const call = client.makeBidiStreamRequest(DELTA_ADS_METHOD, keep, keep);
  let failure: number | undefined;
  call.on('error', (error: grpc.ServiceError) => (failure = error.code));
  closers.push(() => call.cancel());
  const state = { resources: 0, nonce: '' };
  const send = (fields: DeltaRequestFields): void =>
    void call.write(Buffer.from(DeltaDiscoveryRequest.encode({ node: { id }, typeUrl, ...fields }).finish()));
  const read = (): void =>
    void call.on('data', (bytes: Buffer) => {
      const { resourceCount, nonce } = readDeltaResponse(bytes);
      state.resources += resourceCount;
      state.nonce = nonce;
      send({ responseNonce: nonce });
    });
  return { call, state, send, read, failure: () => failure };
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => void setTimeout(resolve, 5));
}

it('takes in hundreds that reconnect together, a few answers at a time, and forgets all of them', async () => {
  // Its time stands still while they are answered: on a slow machine some would lose their places to others.
  const clock = new ManualClock();
  const { source, ads, port } = await serve(500, 100, { pushConcurrency: 4, clock });
  const channels = Array.from({ length: 8 }, () => channel(port));
  const streams = channels.flatMap((client) => Array.from({ length: 20 }, () => stream(client)));
  for (const { read, send } of streams) {
    read();
    send({});
  }
  await until(() => streams.every(({ state }) => state.resources === 500));
  expect(source.peak).toBeLessThanOrEqual(4);
  source.update({ upserted: [versionedResource('r0', Buffer.from('new'))] });
  await until(async () => {
    await clock.advance(DEBOUNCE_MS);
    return streams.every(({ state }) => state.resources === 501);
  });
  for (const { call } of streams) call.cancel();
  await until(() => ads.connections().length === 0);
});

it('doesn’t let those who never read keep the places of others for more than a second', async () => {
  const { port } = await serve(2_000, 1_000, { pushConcurrency: 2 });
  // Never read, so that no more than the windows of HTTP/2 is ever taken.
  for (let i = 0; i < 2; i++) stream(channel(port)).send({});
  const good = stream(channel(port));
  good.read();
  good.send({});
  await until(() => good.state.resources === 2_000);
});

it('tells those who come too fast to try again', async () => {
  const { ads, port } = await serve(1, 1, { connectionsPerSecond: 1 });
  const client = channel(port);
  const streams = Array.from({ length: 6 }, () => stream(client));
  for (const { read, send } of streams) {
    read();
    send({});
  }
  const refused = () => streams.filter(({ failure }) => failure() === grpc.status.RESOURCE_EXHAUSTED).length;
  await until(() => refused() + ads.connections().length === streams.length);
  expect(refused()).toBeGreaterThan(0);
  expect(ads.connections().length).toBeGreaterThan(0);
});

it('survives requests that lie, and goes on serving the others', async () => {
  const { source, ads, port } = await serve(10, 10);
  const good = stream(channel(port), 'good');
  good.read();
  good.send({});
  await until(() => good.state.resources === 10);

  const liar = stream(channel(port), 'liar');
  liar.read();
  liar.send({});
  await until(() => liar.state.resources === 10);
  const { nonce } = liar.state;
  const number = nonce.lastIndexOf('/') + 1;
  for (const suffix of ['0', '-1', '99999999', 'NaN', '1e3', '', '1.5', '0x1'])
    liar.send({
      responseNonce: `${nonce.slice(0, number)}${suffix}`,
      errorDetail: { message: 'x'.repeat(100_000) },
    });
  liar.send({ responseNonce: good.state.nonce, errorDetail: { message: 'in another’s name' } });
  liar.send({ typeUrl: 'type.googleapis.com/nothing', resourceNamesSubscribe: ['a'] });
  const stateOf = (id: string) => ads.connections().find(({ node }) => node?.id === id)?.types[0]?.state;
  await until(() => stateOf('good') === 'SYNCED' && stateOf('liar') === 'SYNCED');

  liar.send({ resourceNamesSubscribe: Array.from({ length: MAX_NAMES + 1 }, (_, i) => String(i)) });
  await until(() => liar.failure() === grpc.status.INVALID_ARGUMENT);

  // Requests with bytes changed: each is understood or refused.
  const valid = DeltaDiscoveryRequest.encode({
    node: { id: 'fuzz' },
    typeUrl,
    resourceNamesSubscribe: ['r1'],
    initialResourceVersions: { r1: 'x' },
  }).finish();
  const client = channel(port);
  let seed = 1;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  const fuzzed = Array.from({ length: 200 }, () => {
    const bytes = Buffer.from(valid);
    for (let i = 0; i <= random(4); i++) bytes[random(bytes.length)] = random(256);
    const one = stream(client);
    one.read();
    one.call.write(bytes);
    one.call.end();
    return one;
  });
  await until(() => ads.connections().length === 1);
  expect(fuzzed).toHaveLength(200);
  source.update({ upserted: [versionedResource('r0', Buffer.from('new'))] });
  await until(() => good.state.resources === 11);
});
