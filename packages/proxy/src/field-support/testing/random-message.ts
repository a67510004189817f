import { envoyEnum, envoyFields, type EnvoyField } from '@weft/api/envoy-fields';
import protobuf from 'protobufjs/minimal.js';
import { statesOf } from '../table/index.ts';

const MAX_DEPTH = 4;
const LENGTH_DELIMITED = 2;

/** A message of fields that work here or are accepted, chosen by the numbers of `next`. */
export function randomMessage(typeName: string, next: () => number, depth = 0): Uint8Array {
  const writer = protobuf.Writer.create();
  for (const [number, field] of envoyFields(typeName) ?? []) {
    const state = statesOf(typeName)?.of(field.name).kind ?? 'nacked';
    const limited = statesOf(typeName)?.valuesOf(field.name) !== undefined;
    // Any, Struct and the wrappers have no fields to choose among; what is limited has values of its own.
    if (state === 'nacked' || limited || field.kind === 'newer' || next() % 3 !== 0) continue;
    if (depth >= MAX_DEPTH && field.kind === 'message') continue;
    write(writer, number, field, next, depth);
  }
  return writer.finish();
}

/** Numbers of the fields that are refused when they are set. */
export function unsupportedFields(typeName: string): readonly number[] {
  return [...(envoyFields(typeName) ?? [])]
    .filter(([, { name }]) => statesOf(typeName)?.of(name).kind === 'nacked')
    .map(([number]) => number);
}

/** The message with one field more, length-delimited. */
export function withField(message: Uint8Array, number: number, value: Uint8Array): Uint8Array {
  const field = protobuf.Writer.create()
    .uint32((number << 3) | LENGTH_DELIMITED)
    .bytes(value)
    .finish();
  return Buffer.concat([message, field]);
}

function write(
  writer: protobuf.Writer,
  number: number,
  field: EnvoyField,
  next: () => number,
  depth: number,
): void {
  if (field.kind === 'message') {
    const value = field.type.startsWith('google.')
      ? new Uint8Array()
      : randomMessage(field.type, next, depth + 1);
    const entry = protobuf.Writer.create().uint32(10).string('key').uint32(18).bytes(value).finish();
    writer.uint32((number << 3) | LENGTH_DELIMITED).bytes(field.label === 'map' ? entry : value);
  } else if (field.type === 'string' || field.type === 'bytes') {
    writer.uint32((number << 3) | LENGTH_DELIMITED).string(`text ${next() % 10}`);
  } else if (field.type === 'double') {
    writer.uint32((number << 3) | 1).double(next() % 10);
  } else {
    const values = field.kind === 'enum' ? Object.keys(envoyEnum(field.type)).length : 2;
    writer.uint32(number << 3).uint32(next() % values);
  }
}
