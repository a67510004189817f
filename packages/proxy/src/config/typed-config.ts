import { envoyFromJson, isEnvoyType } from '@weft/api/envoy-json';
import { xds, udpa, type google } from '@weft/api/envoy';
import { describeError } from '@weft/telemetry';
import type { CompileContext, TypedConfig } from '../engine/types.ts';
import { structToPlain } from '../filters/message.ts';

export const TYPE_PREFIX = 'type.googleapis.com/';
const TYPED_STRUCTS: Readonly<
  Record<string, typeof xds.type.v3.TypedStruct | typeof udpa.type.v1.TypedStruct>
> = {
  [`${TYPE_PREFIX}xds.type.v3.TypedStruct`]: xds.type.v3.TypedStruct,
  [`${TYPE_PREFIX}udpa.type.v1.TypedStruct`]: udpa.type.v1.TypedStruct,
};

/**
 * The message that stands in an `Any`, also where it is written as a TypedStruct, which Istio does for its own
 * filters: its value is ProtoJSON of the message that it names.
 */
export function typedConfig(
  any: google.protobuf.Any.$Properties | null | undefined,
  context: CompileContext,
): TypedConfig | undefined {
  const typeUrl = any?.type_url ?? '';
  if (typeUrl === '') return undefined;
  const held = unwrapTypedStruct({ typeUrl, value: any?.value ?? new Uint8Array() });
  return 'problem' in held ? context.fail(held.problem) : held;
}

/** The same of an `Any` that is taken apart already. */
export function unwrapTypedStruct(any: TypedConfig): TypedConfig | { readonly problem: string } {
  const wrapper = TYPED_STRUCTS[any.typeUrl];
  if (wrapper === undefined) return any;
  const struct = wrapper.decode(any.value);
  const typeName = struct.typeUrl.slice(struct.typeUrl.lastIndexOf('/') + 1);
  if (!isEnvoyType(typeName)) return { problem: `no implementation for ${struct.typeUrl}` };
  try {
    const json = structToPlain(struct.value ?? {});
    const bytes = envoyFromJson(typeName, json, { ignoreUnknownFields: true });
    return { typeUrl: `${TYPE_PREFIX}${typeName}`, value: bytes };
  } catch (error) {
    return { problem: `TypedStruct of ${typeName}: ${describeError(error)}` };
  }
}
