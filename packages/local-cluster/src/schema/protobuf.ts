import type { JsonObject } from './json.ts';
import type { TypeRegistry } from './registry.ts';

export interface DecodedProtobuf {
  readonly apiVersion: string;
  readonly kind: string;
  readonly object: JsonObject;
}

/** Reads a `k8s\0` envelope. Throws ProtobufError on anything that isn't one. */
export function decodeProtobuf(_registry: TypeRegistry, _body: Uint8Array): DecodedProtobuf {
  throw new Error('not yet');
}
