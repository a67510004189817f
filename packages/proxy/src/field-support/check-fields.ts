import type { EnvoyField } from '@weft/api/envoy-fields';
import protobuf from 'protobufjs/minimal.js';
import { TYPE_PREFIX, unwrapTypedStruct } from '../config/typed-config.ts';
import { ConfigError } from '../engine/types.ts';
import { isLeaf, planOf, type FieldPlan } from './field-plan.ts';
import { isDefault, LENGTH_DELIMITED, mapEntry, readValue, textOf, type WireValue } from './wire-value.ts';

/** As protobufjs has it; deeper messages are refused when they are decoded. */
const MAX_DEPTH = 100;

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
    const reader = protobuf.Reader.create(bytes);
    walkMessage(typeName, reader, reader.len, {
      check,
      parent: undefined,
      field: undefined,
      depth: 0,
      open: false,
    });
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    throw new ConfigError(check.resource, '', 'malformed message', { cause: error });
  }
}

/** Where the walk is. A resource may have many thousands of messages: paths are made when one is to be told. */
interface Place {
  readonly check: FieldCheck;
  readonly parent: Place | undefined;
  /** Undefined for the resource itself. */
  readonly field: EnvoyField | undefined;
  /** Of a repeated field. */
  readonly index?: number;
  /** Of a map. */
  readonly key?: string;
  readonly depth: number;
  /** An `Any` of a type without table is left to whoever compiles it. */
  readonly open: boolean;
}

/** Reads up to `end`, where the message ends. */
function walkMessage(typeName: string, reader: protobuf.Reader, end: number, place: Place): void {
  const plan = planOf(typeName);
  if (place.depth > MAX_DEPTH) refuse(place, 'nested too deep');
  if (plan === undefined) return refuse(place, `${typeName} is not supported`);
  let indexes: Map<EnvoyField, number> | undefined;
  while (reader.pos < end) {
    const tag = reader.uint32();
    const entry = plan.get(tag >>> 3);
    if (entry === undefined) {
      place.check.onUnknown?.(place.check.resource, pathOf(place, `#${tag >>> 3}`));
      reader.skipType(tag & 7);
      continue;
    }
    const { field, action, accepted } = entry;
    let index = 0;
    if (field.label === 'repeated') {
      indexes ??= new Map();
      index = indexes.get(field) ?? 0;
      indexes.set(field, index + 1);
    }
    if (action === 'refuse' || accepted !== undefined) {
      const start = reader.pos;
      checkValue(entry, readValue(reader, tag & 7), place, index);
      if (action !== 'walk') continue;
      reader.pos = start;
    }
    if (action === 'walk' && field.label !== 'map') {
      if ((tag & 7) !== LENGTH_DELIMITED) throw new RangeError(`wire type ${tag & 7} of a message`);
      const length = reader.uint32();
      const innerEnd = reader.pos + length;
      if (innerEnd > end) throw new RangeError('a message ends after the one that holds it');
      walkMessage(field.type, reader, innerEnd, inside(place, entry, index));
    } else if (action === 'skip') {
      reader.skipType(tag & 7);
    } else {
      walkDetached(entry, readValue(reader, tag & 7).bytes, place, index);
    }
  }
  if (reader.pos !== end) throw new RangeError('a field ends after its message');
}

/** An `Any`, or the entry of a map. */
function walkDetached(entry: FieldPlan, bytes: Uint8Array, place: Place, index: number): void {
  const { field, action } = entry;
  const { key, value } = field.label === 'map' ? mapEntry(bytes) : { key: undefined, value: bytes };
  const inner = inside(place, entry, index, key);
  if (action === 'any') return walkAny(value, inner);
  const reader = protobuf.Reader.create(value);
  walkMessage(field.type, reader, reader.len, inner);
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
  const typeName = held.typeUrl.startsWith(TYPE_PREFIX) ? held.typeUrl.slice(TYPE_PREFIX.length) : '';
  if (isLeaf(typeName)) return;
  if (planOf(typeName) !== undefined) {
    const inner = protobuf.Reader.create(held.value);
    walkMessage(typeName, inner, inner.len, { ...place, open: false });
  } else if (!place.open) {
    refuse(place, `Didn't find a registered implementation for type URL: '${held.typeUrl}'`);
  }
}

function checkValue(entry: FieldPlan, value: WireValue, place: Place, index: number): void {
  const { field, action, accepted } = entry;
  // A wrapper's default is what the field says, not none.
  if ((action === 'refuse' || field.kind !== 'message') && isDefault(field, value)) return;
  const text = textOf(field, value);
  if (action !== 'refuse' && accepted?.includes(text) === true) return;
  const key = field.label === 'map' ? mapEntry(value.bytes).key : undefined;
  refuse(
    inside(place, entry, index, key),
    action === 'refuse' ? 'not supported' : `${text} is not supported`,
  );
}

function inside(parent: Place, { field, open }: FieldPlan, index: number, key?: string): Place {
  return {
    check: parent.check,
    parent,
    field,
    index,
    ...(key === undefined ? {} : { key }),
    depth: parent.depth + 1,
    // TypedExtensionConfig and its like pass on what their holder is open to.
    open: open || (parent.open && field.name === 'typed_config'),
  };
}

function pathOf(place: Place, last?: string): string {
  const segments: string[] = last === undefined ? [] : [last];
  for (let at: Place | undefined = place; at !== undefined; at = at.parent) {
    if (at.field === undefined) continue;
    const { name, label } = at.field;
    const suffix = label === 'map' ? `["${at.key ?? ''}"]` : label === 'repeated' ? `[${at.index ?? 0}]` : '';
    segments.unshift(name + suffix);
  }
  return segments.join('.');
}

function refuse(place: Place, reason: string): never {
  throw new ConfigError(place.check.resource, pathOf(place), reason);
}
