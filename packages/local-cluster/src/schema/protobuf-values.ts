import { BinaryReader, type WireType } from '@bufbuild/protobuf/wire';
import { isObject, type JsonValue } from './json.ts';

/** Calls `read` for each field; one that it didn't consume is skipped. */
export function forEachField(
  bytes: Uint8Array,
  read: (number: number, wireType: WireType, reader: BinaryReader) => boolean,
): void {
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    if (!read(number, wireType, reader)) reader.skip(wireType, number);
  }
}

/** Go structs held by value: protobuf always writes them, JSON clients leave them out when empty. */
const structsByValue = new Set([
  'status',
  'resources',
  'strategy',
  'updateStrategy',
  'metadata',
  'loadBalancer',
  'source',
  'state',
  'lastState',
  'nodeInfo',
  'daemonEndpoints',
  'kubeletEndpoint',
  'acceptedNames',
  'spec',
]);
/** Likewise scalars held by value, where zero means "not given". */
const scalarsByValue = new Set([
  'hostPort',
  'nodePort',
  'hostNetwork',
  'hostPID',
  'hostIPC',
  'stdin',
  'stdinOnce',
  'tty',
  'readOnly',
  'initialDelaySeconds',
  'timeoutSeconds',
  'periodSeconds',
  'successThreshold',
  'failureThreshold',
  'minReadySeconds',
  'paused',
  'generation',
  'observedGeneration',
  'publishNotReadyAddresses',
  'unschedulable',
]);

export function isGoZero(field: string, value: JsonValue): boolean {
  if (value === '') return true;
  if (value === 0 || value === false) return scalarsByValue.has(field);
  return structsByValue.has(field) && isObject(value) && Object.keys(value).length === 0;
}

export function readTime(bytes: Uint8Array, fractionDigits: 0 | 6): string | undefined {
  let seconds = 0;
  let nanos = 0;
  forEachField(bytes, (number, _wireType, reader) => {
    if (number === 1) seconds = Number(reader.int64());
    else if (number === 2) nanos = reader.int32();
    else return false;
    return true;
  });
  if (seconds === 0 && nanos === 0) return undefined;
  const whole = new Date(seconds * 1000).toISOString().slice(0, 19);
  const fraction = Math.floor(nanos / 1000);
  return fractionDigits === 0 ? `${whole}Z` : `${whole}.${String(fraction).padStart(6, '0')}Z`;
}

export function readIntOrString(bytes: Uint8Array): JsonValue {
  let isString = false;
  let integer = 0;
  let text = '';
  forEachField(bytes, (number, _wireType, reader) => {
    if (number === 1) isString = reader.int32() !== 0;
    else if (number === 2) integer = reader.int32();
    else if (number === 3) text = reader.string();
    else return false;
    return true;
  });
  return isString ? text : integer;
}

export function readString(bytes: Uint8Array, field: number): string {
  let text = '';
  forEachField(bytes, (number, _wireType, reader) => {
    if (number !== field) return false;
    text = reader.string();
    return true;
  });
  return text;
}

export function readRawJson(bytes: Uint8Array): JsonValue {
  const text = readString(bytes, 1);
  return text === '' ? {} : (JSON.parse(text) as JsonValue); // JSON.parse returns nothing else
}

export function repeatedStrings(bytes: Uint8Array): string[] {
  const strings: string[] = [];
  forEachField(bytes, (number, _wireType, reader) => {
    if (number !== 1) return false;
    strings.push(reader.string());
    return true;
  });
  return strings;
}
