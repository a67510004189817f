import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { EnvoyTypeUrl } from '@weft/api';
import protobuf from 'protobufjs/minimal.js';
import { AdsClient } from './ads-client.ts';
import { DeltaServer, deltaServerChannelOptions } from './delta-server.ts';
import type { ResourcePush } from './push-subscription.ts';
import { MemorySource, type ServedType } from './resource-source.ts';
import { versionedResource } from './resource.ts';
import type { Rejection } from './subscription.ts';

/** Waits for real sockets. */
async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 4_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error(`gave up waiting: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

/** A message whose field 1 is the name, as in every resource of ADS. */
const resource = (name: string, text = name) =>
  versionedResource(
    name,
    protobuf.Writer.create().uint32(NAME).string(name).uint32(TEXT).string(text).finish(),
  );
const NAME = (1 << 3) | 2;
const TEXT = (2 << 3) | 2;
function textOf(bytes: Uint8Array): string {
  const reader = protobuf.Reader.create(bytes);
  reader.uint32();
  reader.string();
  reader.uint32();
  return reader.string();
}

/** What one waypoint is sent. */
class Configuration {
  readonly clusters = new MemorySource(EnvoyTypeUrl.cluster);
  readonly endpoints = new MemorySource(EnvoyTypeUrl.endpoint);
  readonly types: readonly ServedType[] = [
    { source: this.clusters, removals: 'last' },
    { source: this.endpoints },
  ];
}

let server: grpc.Server;
let delta: DeltaServer<string>;
let configurations: Map<string, Configuration>;
let port: number;
const nacks: string[] = [];
const stops: (() => Promise<void>)[] = [];

beforeEach(async () => {
  nacks.length = 0;
  configurations = new Map(['a', 'b'].map((id) => [id, new Configuration()]));
  await serve(0);
});

async function serve(onPort: number): Promise<void> {
  server = new grpc.Server(deltaServerChannelOptions);
  delta = new DeltaServer({
    types: (node) => {
      const configuration = configurations.get(node.id ?? '');
      if (configuration === undefined) throw new Error('no such waypoint');
      return configuration.types;
    },
    authenticate: async () => 'anyone',
    debounceMs: 2,
    observer: { rejected: (typeUrl) => nacks.push(typeUrl) },
  });
  delta.addTo(server);
  port = await new Promise((resolve, reject) => {
    server.bindAsync(`127.0.0.1:${onPort}`, grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
}

afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
  delta.close();
  server.forceShutdown();
});

function configurationOf(id: string): Configuration {
  const configuration = configurations.get(id);
  if (configuration === undefined) throw new Error(id);
  return configuration;
}

function startEngine(id: string, protocol: 'delta' | 'sotw') {
  const abort = new AbortController();
  const clusters = new Map<string, string>();
  const endpoints = new Map<string, string>();
  const removed: string[] = [];
  const receive =
    (into: Map<string, string>) =>
    (push: ResourcePush): readonly Rejection[] => {
      const rejections: Rejection[] = [];
      for (const { name, bytes } of push.resources) {
        const text = textOf(bytes);
        if (text.startsWith('bad')) rejections.push({ name, reason: 'lb_policy: unknown' });
        else into.set(name, text);
      }
      for (const name of push.removed) {
        into.delete(name);
        removed.push(name);
      }
      return rejections;
    };
  const client = new AdsClient({
    protocol,
    address: `127.0.0.1:${port}`,
    credentials: () => grpc.credentials.createInsecure(),
    node: { id },
    consumers: [
      { typeUrl: EnvoyTypeUrl.cluster, follows: 'all', receive: receive(clusters) },
      { typeUrl: EnvoyTypeUrl.endpoint, follows: 'names', receive: receive(endpoints) },
    ],
    signal: abort.signal,
    random: () => 0.5,
  });
  const stop = async (): Promise<void> => {
    abort.abort();
    await client.done;
  };
  stops.push(stop);
  return { client, clusters, endpoints, removed, stop };
}

describe.each(['delta', 'sotw'] as const)('AdsClient over %s', (protocol) => {
  it('gets everything of the types it follows as a whole, and of the others what it names', async () => {
    configurationOf('a').clusters.update({ upserted: [resource('x'), resource('y')] });
    configurationOf('a').endpoints.update({
      upserted: [resource('x', '10.0.0.1'), resource('y', '10.0.0.2')],
    });
    const engine = startEngine('a', protocol);
    await until(() => engine.clusters.size === 2);
    expect(engine.endpoints.size).toBe(0);
    engine.client.setNames(EnvoyTypeUrl.endpoint, ['x']);
    await until(() => engine.endpoints.size === 1);
    expect([...engine.endpoints]).toEqual([['x', '10.0.0.1']]);
  });

  it('follows the changes of what it names, and no longer those of what it gave up', async () => {
    const { endpoints } = configurationOf('a');
    endpoints.update({ upserted: [resource('x', '1'), resource('y', '1')] });
    const engine = startEngine('a', protocol);
    engine.client.setNames(EnvoyTypeUrl.endpoint, ['x', 'y']);
    await until(() => engine.endpoints.size === 2);
    engine.client.setNames(EnvoyTypeUrl.endpoint, ['y']);
    await until(
      () => delta.connections()[0]?.types.find((t) => t.typeUrl === EnvoyTypeUrl.endpoint)?.names === 1,
    );
    endpoints.update({ upserted: [resource('x', '2'), resource('y', '2')] });
    await until(() => engine.endpoints.get('y') === '2');
    expect(engine.endpoints.get('x')).toBe('1');
  });

  it('serves each node its own configuration, and pushes a change only to those it concerns', async () => {
    const engines = [startEngine('a', protocol), startEngine('b', protocol)] as const;
    configurationOf('a').clusters.update({ upserted: [resource('of-a')] });
    configurationOf('b').clusters.update({ upserted: [resource('of-b')] });
    await until(() => engines.every((e) => e.clusters.size > 0));
    expect(engines.map((e) => [...e.clusters.keys()])).toEqual([['of-a'], ['of-b']]);
    configurationOf('b').clusters.update({ removed: ['of-b'] });
    await until(() => engines[1].clusters.size === 0);
    expect(engines[0].removed).toEqual([]);
  });

  it('refuses part of a push with its reason, and applies the rest', async () => {
    const engine = startEngine('a', protocol);
    configurationOf('a').clusters.update({ upserted: [resource('good'), resource('worse', 'bad')] });
    await until(() => nacks.length === 1);
    expect([...engine.clusters.keys()]).toEqual(['good']);
    const status = delta.connections()[0]?.types[0];
    expect(status?.state).toBe('ERROR');
    expect(status?.error).toContain('worse: lb_policy: unknown');
  });

  it('asks for its names again on the next stream, telling the versions it has', async () => {
    const { endpoints } = configurationOf('a');
    endpoints.update({ upserted: [resource('x', '1')] });
    const engine = startEngine('a', protocol);
    engine.client.setNames(EnvoyTypeUrl.endpoint, ['x']);
    await until(() => engine.endpoints.size === 1);
    engine.endpoints.clear();
    delta.close();
    server.forceShutdown();
    await until(() => !engine.client.connected);
    await serve(port);
    await until(() => engine.client.connected);
    // Delta brings nothing again of what is known.
    if (protocol === 'delta') expect(engine.endpoints.size).toBe(0);
    endpoints.update({ upserted: [resource('x', '2')] });
    await until(() => engine.endpoints.get('x') === '2');
  });
});
