import type { Clock } from '@weft/telemetry';
import { writeDeltaHead, writeResource, type DeltaResponseHead } from './delta-message.ts';
import type { ResourceSource } from './resource-source.ts';
import type { VersionedResource } from './resource.ts';
import { TimeSlice } from './time-slice.ts';

/** The first answer is one message, but no client accepts more than 200 MiB. */
export const MAX_MESSAGE_BYTES = 64 * 1024 * 1024;
/** For so long after a client wanted everything, others get what was written for it. */
export const SNAPSHOT_AGE_MS = 10_000;

/** Longest head of a response that removes nothing: three short strings. */
const HEAD_ROOM_BYTES = 1_024;

/** Resources that fit into one message, which is one buffer for all streams: only its head is written for each. */
export class SnapshotPart {
  readonly resources: number;
  readonly bytes: number;
  private readonly buffer: Buffer;

  constructor(resources: readonly Uint8Array[]) {
    this.buffer = Buffer.concat([Buffer.alloc(HEAD_ROOM_BYTES), ...resources]);
    this.resources = resources.length;
    this.bytes = this.buffer.length - HEAD_ROOM_BYTES;
  }

  /** Valid until it is asked for again. Whatever doesn't fit into the room for the head is a copy. */
  message(o: Omit<DeltaResponseHead, 'removed'>): Buffer {
    const head = writeDeltaHead(o);
    const begin = HEAD_ROOM_BYTES - head.length;
    if (begin < 0) return Buffer.concat([head, this.buffer.subarray(HEAD_ROOM_BYTES)]);
    this.buffer.set(head, begin);
    return this.buffer.subarray(begin);
  }
}

/** Resources as they go into delta messages, without aliases: written once for all streams of a server. */
export class WrittenResources {
  private readonly clock: Clock;
  private readonly snapshots = new Map<
    ResourceSource,
    { readonly parts: Promise<readonly SnapshotPart[]>; readonly cancel: () => void }
  >();
  private recent = new WeakMap<VersionedResource, { readonly typeUrl: string; readonly bytes: Uint8Array }>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** Everything of a source. What is shared shows all of its changes so far, so that no push is missed. */
  all(source: ResourceSource): Promise<readonly SnapshotPart[]> {
    if (source.isTransient === true) return writeSnapshot(source);
    const known = this.snapshots.get(source);
    if (known !== undefined) return known.parts;
    const parts = writeSnapshot(source);
    // A failure is for those who wait now.
    parts.catch(() => this.drop(source));
    const cancel = this.clock.schedule(SNAPSHOT_AGE_MS, () => this.drop(source));
    this.snapshots.set(source, { parts, cancel });
    return parts;
  }

  /** One resource of a push, which most streams get. */
  one(source: ResourceSource, resource: VersionedResource): Uint8Array {
    const typeUrl = contentTypeOf(source, resource);
    const known = this.recent.get(resource);
    if (known?.typeUrl === typeUrl) return known.bytes;
    const bytes = writeResource(typeUrl, resource, false);
    this.recent.set(resource, { typeUrl, bytes });
    return bytes;
  }

  changed(source: ResourceSource): void {
    this.drop(source);
  }

  /** Another push begins: what the last one had would otherwise stay for as long as the resources do. */
  pushing(): void {
    this.recent = new WeakMap();
  }

  close(): void {
    for (const source of this.snapshots.keys()) this.drop(source);
  }

  private drop(source: ResourceSource): void {
    this.snapshots.get(source)?.cancel();
    this.snapshots.delete(source);
  }
}

export function contentTypeOf(source: ResourceSource, resource: VersionedResource): string {
  return resource.typeUrl ?? source.contentTypeUrl ?? source.typeUrl;
}

async function writeSnapshot(source: ResourceSource): Promise<readonly SnapshotPart[]> {
  const slice = new TimeSlice();
  const parts: SnapshotPart[] = [];
  let resources: Uint8Array[] = [];
  let bytes = 0;
  const endPart = (): void => {
    parts.push(new SnapshotPart(resources));
    [resources, bytes] = [[], 0];
  };
  for (const resource of source.list()) {
    const written = writeResource(contentTypeOf(source, resource), resource, false);
    resources.push(written);
    bytes += written.length;
    if (bytes >= MAX_MESSAGE_BYTES) endPart();
    if (slice.isOver()) await slice.next();
  }
  if (resources.length > 0 || parts.length === 0) endPart();
  return parts;
}
