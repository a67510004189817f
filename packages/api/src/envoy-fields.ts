import { readFileSync } from 'node:fs';

/** A field of one of Envoy's messages. */
export interface EnvoyField {
  /** As in the .proto file: `filter_chains`. */
  readonly name: string;
  /** `newer`: a field that this version's decoders drop, for their .proto files are older than it. */
  readonly kind: 'scalar' | 'enum' | 'message' | 'newer';
  /** Of the values, for a map; a scalar's as in .proto files (`uint32`), else a full name. Empty for `newer`. */
  readonly type: string;
  readonly label: 'singular' | 'repeated' | 'map';
}

/** By number. */
export type EnvoyFields = ReadonlyMap<number, EnvoyField>;

/**
 * The fields of a message, undefined for a type that is not compiled in. It is what a walk over an encoded message
 * needs, and much less than the descriptors that `envoy-json` loads.
 *
 * @param typeName for instance `envoy.config.listener.v3.Listener`
 */
export function envoyFields(typeName: string): EnvoyFields | undefined {
  const known = parsed.get(typeName);
  if (known !== undefined) return known;
  const declared = description().messages[typeName];
  if (declared === undefined) return undefined;
  const fields = new Map(
    Object.entries(declared).map(([number, declaration]) => [Number(number), fieldOf(declaration)]),
  );
  parsed.set(typeName, fields);
  return fields;
}

/** Names of an enum's values, by number. */
export function envoyEnum(typeName: string): Readonly<Record<string, string>> {
  return description().enums[typeName] ?? {};
}

/** Full names of all messages that are compiled in. */
export function envoyMessages(): readonly string[] {
  return Object.keys(description().messages);
}

interface Description {
  readonly messages: Readonly<Record<string, Readonly<Record<string, string>>>>;
  readonly enums: Readonly<Record<string, Readonly<Record<string, string>>>>;
}

const parsed = new Map<string, EnvoyFields>();
let loaded: Description | undefined;

function description(): Description {
  // Written by scripts/describe-fields.mjs.
  loaded ??= JSON.parse(
    readFileSync(new URL('../generated/envoy-fields.json', import.meta.url), 'utf8'),
  ) as Description;
  return loaded;
}

/** `string name`, `repeated enum envoy.…Action actions`, `map google.protobuf.Any configs`, `newer name`. */
function fieldOf(declaration: string): EnvoyField {
  const words = declaration.split(' ');
  const name = words.pop() ?? '';
  if (words[0] === 'newer') return { name, kind: 'newer', type: '', label: 'singular' };
  const label = words[0] === 'repeated' || words[0] === 'map' ? words[0] : 'singular';
  const type = words.pop() ?? '';
  const kind = words.includes('enum') ? 'enum' : type.includes('.') ? 'message' : 'scalar';
  return { name, kind, type, label };
}
