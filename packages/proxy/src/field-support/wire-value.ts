import { google } from '@weft/api/envoy';
import { envoyEnum, envoyFields, type EnvoyField } from '@weft/api/envoy-fields';
import protobuf from 'protobufjs/minimal.js';

const BOOL_VALUE = 'google.protobuf.BoolValue';
const DURATION = 'google.protobuf.Duration';
const NO_BYTES = new Uint8Array();
export const LENGTH_DELIMITED = 2;

/** A field's value as it is encoded: `bytes` for what is length-delimited, else a number; of 64 bits, rounded. */
export interface WireValue {
  readonly number: number;
  readonly bytes: Uint8Array;
}

export function readValue(reader: protobuf.Reader, wireType: number): WireValue {
  switch (wireType) {
    case 0:
      return { number: Number(reader.int64()), bytes: NO_BYTES };
    case 1:
      return { number: reader.double(), bytes: NO_BYTES };
    case LENGTH_DELIMITED:
      return { number: 0, bytes: reader.bytes() };
    case 5:
      return { number: reader.fixed32(), bytes: NO_BYTES };
    default:
      throw new RangeError(`wire type ${wireType}`);
  }
}

/** Whether it means the same as none: of a scalar, and of the BoolValues, which all are off then. */
export function isDefault(field: EnvoyField, value: WireValue): boolean {
  // It could be a message, and an empty one says something, too.
  if (field.kind === 'newer') return value.number === 0 && value.bytes === NO_BYTES;
  if (field.label !== 'singular') return false;
  if (field.type === BOOL_VALUE) return textOf(field, value) === 'false';
  return field.kind !== 'message' && value.number === 0 && value.bytes.length === 0;
}

/** A scalar, an enum's name or a wrapped scalar as text; a Duration in seconds. */
export function textOf(field: EnvoyField, value: WireValue): string {
  if (field.kind === 'enum') return envoyEnum(field.type)[value.number] ?? String(value.number);
  if (field.type === 'bool') return String(value.number !== 0);
  if (field.type === 'string') return Buffer.from(value.bytes).toString();
  if (field.kind !== 'message') return String(value.number);
  if (field.type === DURATION) return durationText(value.bytes);
  const wrapped = envoyFields(field.type)?.get(1);
  if (!field.type.startsWith('google.protobuf.') || wrapped === undefined) return 'a message';
  const reader = protobuf.Reader.create(value.bytes);
  const inner = reader.len === 0 ? { number: 0, bytes: NO_BYTES } : readValue(reader, reader.uint32() & 7);
  return textOf(wrapped, inner);
}

function durationText(bytes: Uint8Array): string {
  const { seconds, nanos } = google.protobuf.Duration.decode(bytes);
  return `${Number(seconds) + nanos / 1e9}s`;
}

/** Every map of Envoy's API has strings for keys, but for two of numbers, which are refused whole. */
export function mapEntry(bytes: Uint8Array): { readonly key: string; readonly value: Uint8Array } {
  let key = '';
  let value: Uint8Array = NO_BYTES;
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const part = readValue(reader, tag & 7);
    if (tag >>> 3 === 1)
      key = part.bytes.length > 0 ? Buffer.from(part.bytes).toString() : String(part.number);
    else if (tag >>> 3 === 2) value = part.bytes;
  }
  return { key, value };
}
