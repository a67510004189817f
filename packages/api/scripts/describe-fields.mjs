// What is needed of the descriptors to walk an encoded message: every field's number, name and type, written as in a
// .proto file, one line each. Fields that only newer versions of Envoy have are of type `newer`.
import { createRequire } from 'node:module';
import { newerFields } from './envoy-newer-fields.mjs';

const protobuf = createRequire(import.meta.url)('protobufjs');

const fullName = (o) => o.fullName.slice(1);

function declaration(field) {
  const type = field.resolvedType
    ? `${field.resolvedType instanceof protobuf.Enum ? 'enum ' : ''}${fullName(field.resolvedType)}`
    : field.type;
  const name = field.protoName ?? field.name;
  if (field.map) return `map ${type} ${name}`;
  return `${field.repeated ? 'repeated ' : ''}${type} ${name}`;
}

/** JSON: messages by name, then numbers to declarations; enums by name, then numbers to names. */
export function describeFields(root) {
  const messages = {};
  const enums = {};
  const walk = (namespace) => {
    for (const o of namespace.nestedArray) {
      if (o instanceof protobuf.Enum) {
        const names = (enums[fullName(o)] ??= {});
        for (const [name, number] of Object.entries(o.values)) names[number] ??= name;
      } else if (o instanceof protobuf.Type) {
        const fields = (messages[fullName(o)] = {});
        for (const field of o.fieldsArray) fields[field.id] = declaration(field);
        for (const [number, name] of Object.entries(newerFields[fullName(o)] ?? {}))
          fields[number] = `newer ${name}`;
      }
      if (o instanceof protobuf.Namespace) walk(o);
    }
  };
  walk(root);
  return `${JSON.stringify({ messages, enums }, null, 1)}\n`;
}
