import { type BinaryReader, WireType } from '@bufbuild/protobuf/wire';
import type { FieldDefinition, TypeDefinition, TypeDefinitions, ValueDefinition } from './definitions.ts';
import { isObject, type JsonObject, type JsonValue, setMember } from './json.ts';
import {
  forEachField,
  isGoZero,
  readIntOrString,
  readRawJson,
  readString,
  readTime,
  repeatedStrings,
} from './protobuf-values.ts';
import type { TypeRegistry } from './registry.ts';

export interface DecodedProtobuf {
  readonly apiVersion: string;
  readonly kind: string;
  readonly object: JsonObject;
}

/** A body that isn't a well-formed `k8s\0` envelope, or is of a kind the table doesn't have. */
export class ProtobufError extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'ProtobufError';
  }
}

const ENVELOPE_MAGIC = Buffer.from('k8s\0', 'latin1');
/** Nesting of messages; JSONSchemaProps is the only type that is deep. */
const MAX_MESSAGE_DEPTH = 200;

/**
 * Reads a `k8s\0` envelope: `runtime.Unknown{1: typeMeta{1: apiVersion, 2: kind}, 2: raw}` around the object,
 * which becomes the JSON that the same client would have sent. Throws ProtobufError.
 */
export function decodeProtobuf(registry: TypeRegistry, body: Uint8Array): DecodedProtobuf {
  if (!ENVELOPE_MAGIC.equals(body.subarray(0, ENVELOPE_MAGIC.length))) {
    throw new ProtobufError('the body does not start with the protobuf envelope k8s\\0');
  }
  try {
    const { apiVersion, kind, raw } = readEnvelope(body.subarray(ENVELOPE_MAGIC.length));
    const slash = apiVersion.indexOf('/');
    const name = registry.definitionName(
      apiVersion.slice(0, Math.max(slash, 0)),
      apiVersion.slice(slash + 1),
      kind,
    );
    if (name === undefined)
      throw new ProtobufError(`no kind "${kind}" is registered for version "${apiVersion}"`);
    const object: JsonObject = { apiVersion, kind };
    new MessageReader(registry.definitions).read(name, raw, object, 0);
    return { apiVersion, kind, object };
  } catch (error) {
    if (error instanceof ProtobufError) throw error;
    throw new ProtobufError('the protobuf body is malformed', error);
  }
}

function readEnvelope(bytes: Uint8Array): { apiVersion: string; kind: string; raw: Uint8Array } {
  const [typeMeta, raw] = bytesFields(bytes, 2);
  const [apiVersion, kind] = bytesFields(typeMeta ?? new Uint8Array(), 2);
  const text = (value: Uint8Array | undefined): string => Buffer.from(value ?? []).toString('utf8');
  return { apiVersion: text(apiVersion), kind: text(kind), raw: raw ?? new Uint8Array() };
}

/** The length-delimited fields 1…count of a message; the last occurrence of each. */
function bytesFields(bytes: Uint8Array, count: number): (Uint8Array | undefined)[] {
  const fields: (Uint8Array | undefined)[] = Array.from({ length: count });
  forEachField(bytes, (number, wireType, reader) => {
    if (number > count || wireType !== WireType.LengthDelimited) return false;
    fields[number - 1] = reader.bytes();
    return true;
  });
  return fields;
}

/** What a field number means: a JSON field, or a Go struct that JSON inlines into its parent. */
type NumberedField =
  | { readonly kind: 'field'; readonly name: string; readonly definition: FieldDefinition }
  | { readonly kind: 'inlined'; readonly fields: ReadonlyMap<number, NumberedField> };

class MessageReader {
  readonly #definitions: TypeDefinitions;
  readonly #numbering = new Map<string, ReadonlyMap<number, NumberedField>>();

  constructor(definitions: TypeDefinitions) {
    this.#definitions = definitions;
  }

  read(name: string, bytes: Uint8Array, into: JsonObject, depth: number): void {
    this.#readFields(this.#fieldsOf(name), bytes, into, depth);
  }

  #readFields(
    fields: ReadonlyMap<number, NumberedField>,
    bytes: Uint8Array,
    into: JsonObject,
    depth: number,
  ): void {
    if (depth > MAX_MESSAGE_DEPTH) throw new ProtobufError(`messages nest deeper than ${MAX_MESSAGE_DEPTH}`);
    forEachField(bytes, (number, wireType, reader) => {
      const field = fields.get(number);
      if (field === undefined) return false;
      if (field.kind === 'inlined') this.#readFields(field.fields, reader.bytes(), into, depth + 1);
      else this.#readField(field.name, field.definition, wireType, reader, into, depth);
      return true;
    });
  }

  #readField(
    name: string,
    definition: FieldDefinition,
    wireType: WireType,
    reader: BinaryReader,
    into: JsonObject,
    depth: number,
  ): void {
    if (definition.type === 'array') {
      const present = into[name];
      const list = Array.isArray(present) ? present : [];
      into[name] = list;
      this.#readElements(definition.items ?? {}, wireType, reader, list, depth);
    } else if (definition.values !== undefined) {
      const present = into[name];
      const map = isObject(present) ? present : {};
      into[name] = map;
      this.#readMapEntry(definition.values, reader.bytes(), map, depth);
    } else {
      const value = this.#readValue(definition, reader, depth);
      if (value !== undefined && !isGoZero(name, value)) into[name] = value;
    }
  }

  #readElements(
    item: ValueDefinition,
    wireType: WireType,
    reader: BinaryReader,
    list: JsonValue[],
    depth: number,
  ): void {
    const packed =
      wireType === WireType.LengthDelimited && (item.type === 'integer' || item.type === 'boolean');
    const end = packed ? reader.uint32() + reader.pos : 0;
    do {
      const value = this.#readValue(item, reader, depth);
      if (value !== undefined) list.push(value);
    } while (reader.pos < end);
  }

  #readMapEntry(values: ValueDefinition, bytes: Uint8Array, map: JsonObject, depth: number): void {
    let key = '';
    let value: JsonValue | undefined;
    forEachField(bytes, (number, _wireType, reader) => {
      if (number === 1) key = reader.string();
      else if (number !== 2) return false;
      // The only maps of lists are `extra`, whose values are ExtraValue{1: items}.
      else if (values.type === 'array') value = repeatedStrings(reader.bytes());
      else value = this.#readValue(values, reader, depth);
      return true;
    });
    setMember(map, key, value ?? (values.type === 'array' ? [] : ''));
  }

  /** undefined stands for Go's zero time, which JSON leaves out. */
  #readValue(definition: ValueDefinition, reader: BinaryReader, depth: number): JsonValue | undefined {
    if (definition.ref !== undefined) return this.#readMessage(definition.ref, reader.bytes(), depth);
    switch (definition.type) {
      case 'integer':
        return Number(reader.int64());
      case 'number':
        return reader.double();
      case 'boolean':
        return reader.bool();
      default:
        return definition.format === 'byte'
          ? Buffer.from(reader.bytes()).toString('base64')
          : reader.string();
    }
  }

  #readMessage(name: string, bytes: Uint8Array, depth: number): JsonValue | undefined {
    switch (name.slice(name.lastIndexOf('.') + 1)) {
      case 'Time':
        return readTime(bytes, 0);
      case 'MicroTime':
        return readTime(bytes, 6);
      case 'Quantity':
        return readString(bytes, 1);
      case 'IntOrString':
        return readIntOrString(bytes);
      case 'RawExtension':
      case 'JSON':
      case 'FieldsV1':
        return readRawJson(bytes);
      case 'JSONSchemaPropsOrBool':
        return this.#readSchemaOr(name, bytes, 2, depth, (flags) => flags.has(1));
      case 'JSONSchemaPropsOrArray':
      case 'JSONSchemaPropsOrStringArray':
        return this.#readSchemaOr(name, bytes, 1, depth, () => []);
      default: {
        const object: JsonObject = {};
        this.read(name, bytes, object, depth + 1);
        return object;
      }
    }
  }

  /** apiextensions' unions of a schema with a boolean or a list; controller-made CRDs only use the schema. */
  #readSchemaOr(
    name: string,
    bytes: Uint8Array,
    schemaField: number,
    depth: number,
    otherwise: (trueFlags: ReadonlySet<number>) => JsonValue,
  ): JsonValue {
    let schema: JsonValue | undefined;
    const trueFlags = new Set<number>();
    forEachField(bytes, (number, wireType, reader) => {
      if (number === schemaField && wireType === WireType.LengthDelimited) {
        const definition = `${name.slice(0, name.lastIndexOf('.'))}.JSONSchemaProps`;
        schema = this.#readMessage(definition, reader.bytes(), depth + 1);
      } else if (wireType === WireType.Varint) {
        if (reader.bool()) trueFlags.add(number);
      } else return false;
      return true;
    });
    return schema ?? otherwise(trueFlags);
  }

  #fieldsOf(name: string): ReadonlyMap<number, NumberedField> {
    const known = this.#numbering.get(name);
    if (known !== undefined) return known;
    const definition = this.#definitions[name];
    if (definition === undefined) throw new ProtobufError(`no type definition named ${name}`);
    const fields = new Map<number, NumberedField>();
    for (const [field, fieldDefinition] of Object.entries(definition.fields ?? {})) {
      if (fieldDefinition.proto !== undefined) {
        fields.set(fieldDefinition.proto, { kind: 'field', name: field, definition: fieldDefinition });
      }
    }
    for (const inlined of Object.values(definition.protoInlined ?? {})) {
      fields.set(inlined.proto, { kind: 'inlined', fields: this.#inlinedFields(definition, inlined.fields) });
    }
    this.#numbering.set(name, fields);
    return fields;
  }

  #inlinedFields(
    owner: TypeDefinition,
    numbers: Readonly<Record<string, number>>,
  ): ReadonlyMap<number, NumberedField> {
    const fields = new Map<number, NumberedField>();
    for (const [name, number] of Object.entries(numbers)) {
      const definition = owner.fields?.[name];
      if (definition !== undefined) {
        fields.set(number, { kind: 'field', name, definition });
        continue;
      }
      // An inlined struct within an inlined struct (NamedRuleWithOperations > RuleWithOperations > Rule) is
      // numbered at the type that inlines it directly.
      const inner = Object.values(this.#definitions).find((type) => type.protoInlined?.[name] !== undefined);
      const innerNumbers = inner?.protoInlined?.[name]?.fields;
      if (innerNumbers !== undefined) {
        fields.set(number, { kind: 'inlined', fields: this.#inlinedFields(owner, innerNumbers) });
      }
    }
    return fields;
  }
}
