import { envoy } from '@weft/api/discovery';
import { WeftError } from '@weft/telemetry';
import protobuf from 'protobufjs/minimal.js';
import type { VersionedResource } from './resource.ts';
import { TimeSlice } from './time-slice.ts';

const { Resource } = envoy.service.discovery.v3;
export type Node = envoy.config.core.v3.Node.$Properties;
export type DeltaRequest = envoy.service.discovery.v3.DeltaDiscoveryRequest;
export type DeltaRequestFields = envoy.service.discovery.v3.DeltaDiscoveryRequest.$Properties;
export type DeltaResource = envoy.service.discovery.v3.Resource;
export const { DeltaDiscoveryRequest } = envoy.service.discovery.v3;

export const WILDCARD = '*';

/** Field numbers of DeltaDiscoveryResponse. */
const field = { systemVersion: 1, resources: 2, typeUrl: 4, nonce: 5, removed: 6 } as const;
const LENGTH_DELIMITED = 2;
const tag = (number: number): number => (number << 3) | LENGTH_DELIMITED;

/**
 * A response of which only the frame was read: the resources stay bytes until they are asked for, one by one. A
 * message of 10,000 resources is framed within a millisecond, whereas decoding it takes 100.
 */
export interface DeltaResponseFrame {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly removed: readonly string[];
  /** Views of the message, made anew for each iteration: 200,000 of them at once would be 30 MB of objects. */
  readonly resources: Iterable<Uint8Array>;
  readonly resourceCount: number;
  /** Of all resources together. */
  readonly resourceBytes: number;
}

/** @throws WEFT1503 */
export function readDeltaResponse(bytes: Uint8Array): DeltaResponseFrame {
  const frame = {
    typeUrl: '',
    nonce: '',
    systemVersion: '',
    removed: new Array<string>(),
    resources: { [Symbol.iterator]: () => resourcesOf(bytes) },
    resourceCount: 0,
    resourceBytes: 0,
  };
  try {
    const reader = protobuf.Reader.create(bytes);
    while (reader.pos < reader.len) {
      const key = reader.uint32();
      if (key === tag(field.typeUrl)) frame.typeUrl = reader.string();
      else if (key === tag(field.nonce)) frame.nonce = reader.string();
      else if (key === tag(field.systemVersion)) frame.systemVersion = reader.string();
      else if (key === tag(field.removed)) frame.removed.push(reader.string());
      else if (key === tag(field.resources)) {
        const length = reader.uint32();
        reader.skip(length);
        frame.resourceCount++;
        frame.resourceBytes += length;
      } else reader.skipType(key & 7);
    }
  } catch (error) {
    throw new WeftError('WEFT1503', 'the discovery response cannot be read', { cause: error });
  }
  return frame;
}

/** Of a message whose frame was read before, so that nothing here can be malformed. */
function* resourcesOf(bytes: Uint8Array): Generator<Uint8Array, undefined> {
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const key = reader.uint32();
    if (key === tag(field.resources)) yield reader.bytes();
    else reader.skipType(key & 7);
  }
}

export function readResource(bytes: Uint8Array): DeltaResource {
  return Resource.decode(bytes);
}

/** The bytes of one `resources` element, its field key included; these concatenate to a message. */
export function writeResource(
  typeUrl: string,
  resource: VersionedResource,
  withAliases: boolean,
): Uint8Array {
  const writer = protobuf.Writer.create().uint32(tag(field.resources)).fork();
  Resource.encode(
    {
      name: resource.name,
      version: resource.version,
      resource: { type_url: typeUrl, value: resource.bytes },
      ...(withAliases && resource.aliases !== undefined ? { aliases: [...resource.aliases] } : {}),
    },
    writer,
  );
  return writer.ldelim().finish();
}

export interface DeltaResponseHead {
  readonly typeUrl: string;
  readonly nonce: string;
  readonly systemVersion: string;
  readonly removed?: readonly string[];
}

/** A response without its resources. Fields of a message may come in any order, so that those can follow as they are. */
export function writeDeltaHead(o: DeltaResponseHead): Uint8Array {
  const writer = protobuf.Writer.create();
  writer.uint32(tag(field.systemVersion)).string(o.systemVersion);
  writer.uint32(tag(field.typeUrl)).string(o.typeUrl);
  writer.uint32(tag(field.nonce)).string(o.nonce);
  for (const name of o.removed ?? []) writer.uint32(tag(field.removed)).string(name);
  return writer.finish();
}

/** A whole response around resources written by `writeResource`. */
export function writeDeltaResponse(head: DeltaResponseHead, resources: readonly Uint8Array[]): Buffer {
  return Buffer.concat([writeDeltaHead(head), ...resources]);
}

/** Entries of `initial_resource_versions` that are written between two looks at the clock. */
const VERSIONS_PER_LOOK = 500;

/**
 * A request with what is known of its type, as istiod wants it after a reconnect. 200,000 versions are 15 MB, and a
 * second of work if they become an object first; so the map's entries are written as they are, in slices.
 */
export async function writeFirstRequest(
  fields: Omit<DeltaRequestFields, 'initialResourceVersions'>,
  versions: Iterable<readonly [name: string, version: string]>,
  slice = new TimeSlice(),
): Promise<Buffer> {
  const parts: Uint8Array[] = [DeltaDiscoveryRequest.encode(fields).finish()];
  let writer = protobuf.Writer.create();
  let written = 0;
  for (const [name, version] of versions) {
    writer.uint32(tag(INITIAL_RESOURCE_VERSIONS)).fork().uint32(tag(1)).string(name);
    writer.uint32(tag(2)).string(version).ldelim();
    if (++written % VERSIONS_PER_LOOK > 0) continue;
    parts.push(writer.finish());
    writer = protobuf.Writer.create();
    if (slice.isOver()) await slice.next();
  }
  parts.push(writer.finish());
  return Buffer.concat(parts);
}

/** Of DeltaDiscoveryRequest: a map, so that each entry is a message of key and value. */
const INITIAL_RESOURCE_VERSIONS = 5;

/** A field of the node's metadata that is a string. */
export function nodeMetadata(node: Node | null | undefined, key: string): string | undefined {
  return node?.metadata?.fields?.[key]?.stringValue ?? undefined;
}
