import protojson from 'protobufjs/ext/protojson.js';
import { lazyRoot } from './lazy-root.ts';

const reflection = lazyRoot('envoy.json');

/**
 * ProtoJSON of Envoy's messages: for bootstrap files, `config_dump`, the CLI and golden tests, not for the hot path.
 * It works by reflection, which costs 30 ms once and some memory, so it is loaded on first use.
 *
 * @param typeName for instance `envoy.config.listener.v3.Listener`
 */
export function envoyToJson(typeName: string, bytes: Uint8Array): unknown {
  const type = reflection().lookupType(typeName);
  return protojson.toJson(type, type.decode(bytes));
}

/** The same for a message that is decoded already, by the generated classes. */
export function envoyMessageToJson(typeName: string, message: object): unknown {
  return protojson.toJson(reflection().lookupType(typeName), message);
}

/**
 * The encoded message of a ProtoJSON value.
 * @throws Error that names the field, for instance `Listener.name: string expected`
 */
export function envoyFromJson(
  typeName: string,
  json: unknown,
  options: { readonly ignoreUnknownFields?: boolean } = {},
): Uint8Array {
  const type = reflection().lookupType(typeName);
  return type.encode(protojson.fromJson(type, json, options)).finish();
}

/** Whether a message of this type can stand in an `Any` here. */
export function isEnvoyType(typeName: string): boolean {
  try {
    reflection().lookupType(typeName);
    return true;
  } catch {
    return false;
  }
}
