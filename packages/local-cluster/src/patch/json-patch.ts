import {
  cloneJson,
  isObject,
  jsonEquals,
  type JsonObject,
  type JsonValue,
  setMember,
  stringAt,
} from '../schema/index.ts';
import { PatchError } from './patch-error.ts';

/** As many operations as Kubernetes takes. */
const MAX_OPERATIONS = 10_000;

/** RFC 6902. The arguments are left alone. Throws PatchError. */
export function jsonPatch(target: JsonValue, operations: JsonValue): JsonValue {
  if (!Array.isArray(operations)) throw new PatchError('a JSON patch must be a list of operations', 400);
  if (operations.length > MAX_OPERATIONS) {
    throw new PatchError(
      `The allowed maximum operations in a JSON patch is ${MAX_OPERATIONS}, got ${operations.length}`,
      413,
    );
  }
  return operations.reduce(applyOperation, cloneJson(target));
}

function applyOperation(document: JsonValue, operation: JsonValue): JsonValue {
  if (!isObject(operation)) throw new PatchError('a JSON patch operation must be an object', 400);
  const path = parsePointer(operation, 'path');
  switch (operation['op']) {
    case 'add':
      return add(document, path, valueOf(operation));
    case 'remove':
      return remove(document, path);
    case 'replace':
      read(document, path);
      return path.length === 0 ? valueOf(operation) : add(remove(document, path), path, valueOf(operation));
    case 'move': {
      const from = parsePointer(operation, 'from');
      if (from.length < path.length && from.every((token, index) => token === path[index])) {
        throw new PatchError(`can't move ${pointer(from)} into itself`, 422);
      }
      const moved = read(document, from);
      return add(remove(document, from), path, moved);
    }
    case 'copy':
      return add(document, path, cloneJson(read(document, parsePointer(operation, 'from'))));
    case 'test':
      if (!jsonEquals(read(document, path), valueOf(operation))) {
        throw new PatchError(`testing value ${pointer(path)} failed`, 422);
      }
      return document;
    default:
      throw new PatchError(`Unexpected kind: ${stringAt(operation, 'op') ?? 'unknown'}`, 400);
  }
}

function valueOf(operation: JsonObject): JsonValue {
  if (!Object.hasOwn(operation, 'value')) throw new PatchError('the operation has no value', 400);
  return cloneJson(operation['value'] ?? null);
}

function parsePointer(operation: JsonObject, member: 'path' | 'from'): readonly string[] {
  const text = stringAt(operation, member);
  if (text === '') return [];
  if (text === undefined || !text.startsWith('/') || /~(?![01])/.test(text)) {
    throw new PatchError(`the operation has no valid JSON pointer as its ${member}`, 400);
  }
  return text
    .slice(1)
    .split('/')
    .map((token) => token.replaceAll('~1', '/').replaceAll('~0', '~'));
}

function pointer(path: readonly string[]): string {
  return path.map((token) => `/${token.replaceAll('~', '~0').replaceAll('/', '~1')}`).join('');
}

function missing(path: readonly string[]): PatchError {
  return new PatchError(`the path ${pointer(path)} doesn't exist in the object`, 422);
}

function read(document: JsonValue, path: readonly string[]): JsonValue {
  let value: JsonValue | undefined = document;
  for (const token of path) {
    if (Array.isArray(value)) value = value[listIndex(token, value.length - 1, path)];
    else value = isObject(value) && Object.hasOwn(value, token) ? value[token] : undefined;
    if (value === undefined) throw missing(path);
  }
  return value;
}

/** `document` is our own copy and is changed in place, except where it is replaced as a whole. */
function add(document: JsonValue, path: readonly string[], value: JsonValue): JsonValue {
  const token = path.at(-1);
  if (token === undefined) return value;
  const parent = read(document, path.slice(0, -1));
  if (Array.isArray(parent)) {
    parent.splice(token === '-' ? parent.length : listIndex(token, parent.length, path), 0, value);
  } else if (isObject(parent)) setMember(parent, token, value);
  else throw missing(path);
  return document;
}

function remove(document: JsonValue, path: readonly string[]): JsonValue {
  read(document, path);
  const token = path.at(-1);
  if (token === undefined) return null;
  const parent = read(document, path.slice(0, -1));
  if (Array.isArray(parent)) parent.splice(Number(token), 1);
  else if (isObject(parent)) delete parent[token];
  return document;
}

function listIndex(token: string, last: number, path: readonly string[]): number {
  if (!/^(0|[1-9]\d{0,8})$/.test(token) || Number(token) > last) throw missing(path);
  return Number(token);
}
