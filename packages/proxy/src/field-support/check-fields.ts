import { google } from '@weft/api/envoy';
import { envoyEnum, envoyFields, type EnvoyField } from '@weft/api/envoy-fields';
import protobuf from 'protobufjs/minimal.js';
import { TYPE_PREFIX, unwrapTypedStruct } from '../config/typed-config.ts';
import { ConfigError } from '../engine/types.ts';
import { statesOf } from './table/index.ts';

const ANY = 'google.protobuf.Any';
const BOOL_VALUE = 'google.protobuf.BoolValue';
const DURATION = 'google.protobuf.Duration';
/** As protobufjs has it; deeper messages are refused when they are decoded. */
const MAX_DEPTH = 100;
const LENGTH_DELIMITED = 2;

export interface FieldCheck {
  /** Name of the resource, for the error. */
  readonly resource: string;
  readonly onUnknown?: UnknownFieldListener;
}

/** Told of a field that no version of the API has that is known here. Envoy accepts such, and counts them. */
export type UnknownFieldListener = (resource: string, path: string) => void;

/**
 * Walks an encoded resource, into what it holds as `Any`, and refuses the first field that is set and has no effect
 * here. It walks the bytes, not the decoded message, for decoders drop what they do not know.
 *
 * @throws ConfigError with the field's path: `virtual_hosts[0].routes[2].route.rate_limits: not supported`
 */
export function checkFields(typeName: string, bytes: Uint8Array, check: FieldCheck): void {
  try {
    walkMessage(typeName, bytes, { ...check, path: '', depth: 0, open: false });
  } catch (error) {
    if (error instanceof RangeError) {
      throw new ConfigError(check.resource, '', 'malformed message', { cause: error });
    }
    throw error;
  }
}

interface Place extends FieldCheck {
  readonly path: string;
  readonly depth: number;
  /** An `Any` of a type without table is left to whoever compiles it. */
  readonly open: boolean;
}

function walkMessage(typeName: string, bytes: Uint8Array, place: Place): void {
  const fields = envoyFields(typeName);
  const states = statesOf(typeName);
  if (place.depth > MAX_DEPTH) refuse(place, 'nested too deep');
  if (fields === undefined || states === undefined) return refuse(place, `${typeName} is not supported`);
  const reader = protobuf.Reader.create(bytes);
  const counts = new Map<EnvoyField, number>();
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    const field = fields.get(tag >>> 3);
    if (field === undefined) {
      place.onUnknown?.(place.resource, `${place.path === '' ? '' : `${place.path}.`}#${tag >>> 3}`);
      reader.skipType(tag & 7);
      continue;
    }
    const index = counts.get(field) ?? 0;
    counts.set(field, index + 1);
    const value = readValue(reader, tag & 7);
    const state = states.of(field.name);
    if (state.kind === 'nacked') {
      if (!isDefault(field, value)) refuse(at(place, field, value, index), 'not supported');
      continue;
    }
    const accepted = states.valuesOf(field.name);
    const limited = accepted !== undefined && (field.kind === 'message' || !isDefault(field, value));
    if (limited && !accepted.includes(textOf(field, value))) {
      refuse(at(place, field, value, index), `${textOf(field, value)} is not supported`);
    }
    if (field.kind !== 'message') continue;
    // What is ignored as a whole has no table; what has one says which of its fields may be.
    if (state.kind === 'ignored' && field.type !== ANY && statesOf(field.type) === undefined) continue;
    const open = states.acceptsAnyType(field.name) || (place.open && field.type === ANY);
    const inner = { ...at(place, field, value, index), open };
    const message = field.label === 'map' ? mapEntry(value.bytes).value : value.bytes;
    if (field.type === ANY) walkAny(message, inner);
    else if (!isLeaf(field.type)) walkMessage(field.type, message, inner);
  }
}

function walkAny(bytes: Uint8Array, place: Place): void {
  let typeUrl = '';
  let value: Uint8Array = new Uint8Array();
  const reader = protobuf.Reader.create(bytes);
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag >>> 3 === 1) typeUrl = reader.string();
    else if (tag >>> 3 === 2) value = reader.bytes();
    else reader.skipType(tag & 7);
  }
  if (typeUrl === '') return;
  const held = unwrapTypedStruct({ typeUrl, value });
  if ('problem' in held) {
    if (!place.open) refuse(place, held.problem);
    return;
  }
  const typeName = held.typeUrl.slice(TYPE_PREFIX.length);
  if (isLeaf(typeName)) return;
  if (statesOf(typeName) !== undefined) walkMessage(typeName, held.value, { ...place, open: false });
  else if (!place.open) refuse(place, `Didn't find a registered implementation for type URL: '${typeName}'`);
}

/** Struct, Duration and the like have no fields that could be unsupported. */
function isLeaf(typeName: string): boolean {
  return typeName.startsWith('google.protobuf.');
}

/** `bytes` for what is length-delimited, else a number: of 64 bits, rounded. */
interface WireValue {
  readonly number: number;
  readonly bytes: Uint8Array;
}

const NO_BYTES = new Uint8Array();

function readValue(reader: protobuf.Reader, wireType: number): WireValue {
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

/** A value that means the same as none: of a scalar, and of the BoolValues, which all are off then. */
function isDefault(field: EnvoyField, value: WireValue): boolean {
  if (field.label === 'map') return false;
  if (field.type === BOOL_VALUE) return textOf(field, value) === 'false';
  return (
    field.kind !== 'message' && field.label !== 'repeated' && value.number === 0 && value.bytes.length === 0
  );
}

function textOf(field: EnvoyField, value: WireValue): string {
  if (field.kind === 'enum') return envoyEnum(field.type)[value.number] ?? String(value.number);
  if (field.type === 'bool') return String(value.number !== 0);
  if (field.type === 'string') return Buffer.from(value.bytes).toString();
  if (field.kind !== 'message') return String(value.number);
  if (field.type === DURATION) return durationText(value.bytes);
  const wrapped = envoyFields(field.type)?.get(1);
  if (!isLeaf(field.type) || wrapped === undefined) return 'a message';
  const reader = protobuf.Reader.create(value.bytes);
  const inner = reader.len === 0 ? { number: 0, bytes: NO_BYTES } : readValue(reader, reader.uint32() & 7);
  return textOf(wrapped, inner);
}

function durationText(bytes: Uint8Array): string {
  const { seconds, nanos } = google.protobuf.Duration.decode(bytes);
  return `${Number(seconds) + nanos / 1e9}s`;
}

function at(place: Place, field: EnvoyField, value: WireValue, index: number): Place {
  const base = place.path === '' ? field.name : `${place.path}.${field.name}`;
  const depth = place.depth + 1;
  switch (field.label) {
    case 'singular':
      return { ...place, depth, path: base };
    case 'repeated':
      return { ...place, depth, path: `${base}[${index}]` };
    case 'map':
      return { ...place, depth, path: `${base}["${mapEntry(value.bytes).key}"]` };
  }
}

/** Every map of Envoy's API has strings for keys, but for two of numbers, which are refused whole. */
function mapEntry(bytes: Uint8Array): { readonly key: string; readonly value: Uint8Array } {
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

function refuse(place: Place, reason: string): never {
  throw new ConfigError(place.resource, place.path, reason);
}
