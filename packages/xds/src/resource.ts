import { createHash } from 'node:crypto';

/** A serialised resource. Immutable: a change of content is another object with another version. */
export interface VersionedResource {
  readonly name: string;
  /** A hash of the content, so that a restart, a replica or a reconnect sends only what differs. */
  readonly version: string;
  /** The message itself, as it goes into the `Any`. */
  readonly bytes: Uint8Array;
  /** Where it isn't that of all resources of its source. */
  readonly typeUrl?: string;
  /** Other names by which on-demand clients may ask for it. */
  readonly aliases?: readonly string[];
}

export function versionedResource(
  name: string,
  bytes: Uint8Array,
  aliases?: readonly string[],
): VersionedResource {
  return { name, version: contentVersion(bytes), bytes, ...(aliases === undefined ? {} : { aliases }) };
}

/** 64 bits of SHA-256: a collision would hide one update, once in 2^64 changes of one resource. */
export function contentVersion(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 16);
}

/** Reads one resource type; the reader of the message's meaning, not only of its encoding. */
export interface ResourceCodec<T> {
  readonly typeUrl: string;
  /** Throws when the resource can't be used; its message becomes the NACK. Must copy the bytes that it keeps. */
  decode(bytes: Uint8Array, name: string): T;
}
