import { parse as parseYaml } from 'yaml';
import {
  decodeProtobuf,
  isObject,
  parseStrictJson,
  type FieldValidation,
  type JsonObject,
  type JsonValue,
  type TypeRegistry,
} from '../../schema/index.ts';
import { badRequest, unsupportedMediaType } from '../api-error.ts';
import { parseMediaType } from './media-types.ts';

export interface DecodedBody {
  readonly value: JsonValue;
  readonly duplicateFields: readonly string[];
}

const objectTypes = ['application/json', 'application/yaml', 'application/vnd.kubernetes.protobuf'];

/** The object of a POST, PUT or DELETE. A body without a Content-Type is JSON, as `kubectl create --raw` sends. */
export function decodeObject(
  registry: TypeRegistry,
  contentType: string | undefined,
  body: Buffer,
): DecodedBody {
  const { type } = parseMediaType(contentType ?? 'application/json');
  switch (type) {
    case '':
    case 'application/json':
    case '*/*':
      return decodeJson(body);
    case 'application/yaml':
      return decodeYaml(body);
    case 'application/vnd.kubernetes.protobuf': {
      const { apiVersion, kind, object } = decoding(() => decodeProtobuf(registry, body));
      return { value: { ...object, apiVersion, kind }, duplicateFields: [] };
    }
    default:
      throw unsupportedMediaType(type, objectTypes);
  }
}

export type PatchKind = 'json' | 'merge' | 'strategic' | 'apply';

const patchTypes: Readonly<Record<string, PatchKind>> = {
  'application/json-patch+json': 'json',
  'application/merge-patch+json': 'merge',
  'application/strategic-merge-patch+json': 'strategic',
  'application/apply-patch+yaml': 'apply',
};

export function patchKindOf(contentType: string | undefined, custom: boolean): PatchKind {
  const { type } = parseMediaType(contentType ?? '');
  const kind = Object.hasOwn(patchTypes, type) ? patchTypes[type] : undefined;
  // Without merge keys a strategic merge of a custom resource would silently replace lists.
  if (kind === undefined || (kind === 'strategic' && custom))
    throw unsupportedMediaType(type, Object.keys(patchTypes));
  return kind;
}

export function decodePatch(kind: PatchKind, body: Buffer): DecodedBody {
  // Clients send apply configurations as JSON text, which is YAML too but much faster to read as JSON.
  if (kind === 'apply' && body[0] !== 0x7b) return decodeYaml(body);
  return decodeJson(body);
}

export function requireObject(value: JsonValue): JsonObject {
  if (!isObject(value)) throw badRequest('the body of the request must be an object');
  return value;
}

export function fieldValidationOf(parameters: URLSearchParams): FieldValidation {
  const text = parameters.get('fieldValidation');
  switch (text) {
    case null:
    case '':
      return 'Warn';
    case 'Strict':
    case 'Warn':
    case 'Ignore':
      return text;
    default:
      throw badRequest(
        `invalid fieldValidation ${JSON.stringify(text)}: must be one of Ignore, Warn, Strict`,
      );
  }
}

function decodeJson(body: Buffer): DecodedBody {
  return decoding(() => parseStrictJson(body.toString('utf8')));
}

function decodeYaml(body: Buffer): DecodedBody {
  // Anchors could make a small body huge.
  return decoding(() => ({
    value: parseYaml(body.toString('utf8'), { maxAliasCount: 0, schema: 'core' }) as JsonValue, // core schema: JSON types only
    duplicateFields: [],
  }));
}

function decoding<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    const why =
      typeof error === 'object' && error !== null && 'message' in error
        ? String(error.message)
        : String(error);
    throw badRequest(`the object provided is unrecognized: ${why}`);
  }
}
