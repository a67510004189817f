import type { google, envoy } from '@weft/api/envoy';
import type { CompileContext, Metadata, MetadataStruct, MetadataValue } from '../engine/types.ts';
import { InvalidValue, invalid } from '../matching/index.ts';

/** Decodes a filter's message and compiles it; what is wrong in it becomes the error of the context's resource. */
export function compileMessage<Message, Compiled>(
  type: { decode(bytes: Uint8Array): Message },
  config: Uint8Array,
  context: CompileContext,
  compile: (message: Message) => Compiled,
): Compiled {
  let message: Message;
  try {
    message = type.decode(config);
  } catch (error) {
    return context.fail('malformed message', error);
  }
  try {
    return compile(message);
  } catch (error) {
    if (!(error instanceof InvalidValue)) throw error;
    return (error.path === '' ? context : context.at(error.path)).fail(error.reason);
  }
}

/** Milliseconds, undefined when absent. Sub-millisecond values round up, for 0 often means "none". */
export function durationMs(
  duration: google.protobuf.Duration.$Properties | null | undefined,
): number | undefined {
  if (duration === null || duration === undefined) return undefined;
  const ms = Number(duration.seconds ?? 0) * 1000 + Math.ceil((duration.nanos ?? 0) / 1e6);
  return ms < 0 ? invalid('must not be negative') : ms;
}

/** Probability in [0, 1]. */
export function fraction(percent: envoy.type.v3.FractionalPercent.$Properties | null | undefined): number {
  if (percent === null || percent === undefined) return 0;
  const denominator = [100, 10_000, 1_000_000][percent.denominator ?? 0] ?? 100;
  return Math.min((percent.numerator ?? 0) / denominator, 1);
}

/** A Struct as plain data. The result's keys are own properties, `__proto__` too. */
export function structToPlain(struct: google.protobuf.Struct.$Properties): MetadataStruct {
  return Object.fromEntries(
    Object.entries(struct.fields ?? {}).map(([key, value]) => [key, valueToPlain(value)]),
  );
}

/** The way back. */
export function plainToStruct(plain: MetadataStruct): google.protobuf.Struct.$Properties {
  return {
    fields: Object.fromEntries(Object.entries(plain).map(([key, value]) => [key, plainToValue(value)])),
  };
}

function plainToValue(value: MetadataValue): google.protobuf.Value.$Properties {
  if (value === null) return { nullValue: 0 };
  if (typeof value === 'string') return { stringValue: value };
  if (typeof value === 'number') return { numberValue: value };
  if (typeof value === 'boolean') return { boolValue: value };
  if (isList(value)) return { listValue: { values: value.map(plainToValue) } };
  return { structValue: plainToStruct(value) };
}

/** `Array.isArray` does not know lists that can't be changed. */
function isList(value: MetadataStruct | readonly MetadataValue[]): value is readonly MetadataValue[] {
  return Array.isArray(value);
}

export function valueToPlain(value: google.protobuf.Value.$Properties): MetadataValue {
  switch (value.kind) {
    case 'numberValue':
      return value.numberValue ?? 0;
    case 'stringValue':
      return value.stringValue ?? '';
    case 'boolValue':
      return value.boolValue ?? false;
    case 'structValue':
      return structToPlain(value.structValue ?? {});
    case 'listValue':
      return (value.listValue?.values ?? []).map(valueToPlain);
    default:
      return null;
  }
}

/** Adds fields to a namespace of dynamic metadata. */
export function mergeMetadata(
  metadata: Map<string, MetadataStruct>,
  namespace: string,
  fields: MetadataStruct,
): void {
  metadata.set(namespace, { ...metadata.get(namespace), ...fields });
}

/** `filter_metadata`, by namespace. */
export function compileMetadata(
  metadata: envoy.config.core.v3.Metadata.$Properties | null | undefined,
): Metadata {
  const entries = Object.entries(metadata?.filterMetadata ?? {});
  return new Map(entries.map(([namespace, struct]) => [namespace, structToPlain(struct)]));
}
