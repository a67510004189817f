import { envoy, type google } from '@weft/api/envoy';
import { typedConfig } from '../../config/typed-config.ts';
import type { CompileContext } from '../../engine/types.ts';

/** Stands where `FilterConfig{disabled: true}` takes a filter out of a route. */
export const FILTER_DISABLED = Symbol('disabled');

const FILTER_CONFIG = 'type.googleapis.com/envoy.config.route.v3.FilterConfig';

/** Compiles `typed_per_filter_config`, by the filters' names in the connection manager. */
export function compileFilterConfigs(
  configs: { readonly [name: string]: google.protobuf.Any.$Properties } | null | undefined,
  context: CompileContext,
): ReadonlyMap<string, unknown> {
  const compiled = new Map<string, unknown>();
  for (const [name, any] of Object.entries(configs ?? {})) {
    const place = context.at(`typed_per_filter_config["${name}"]`);
    const value = compileOne(any, place);
    if (value !== undefined) compiled.set(name, value);
  }
  return compiled;
}

function compileOne(any: google.protobuf.Any.$Properties, context: CompileContext): unknown {
  const config = typedConfig(any, context);
  if (config === undefined) return undefined;
  if (config.typeUrl === FILTER_CONFIG) {
    const wrapper = envoy.config.route.v3.FilterConfig.decode(config.value);
    if (wrapper.disabled) return FILTER_DISABLED;
    const inner = typedConfig(wrapper.config, context);
    if (inner === undefined) return undefined;
    return compileTyped(inner.typeUrl, inner.value, wrapper.isOptional, context);
  }
  return compileTyped(config.typeUrl, config.value, false, context);
}

function compileTyped(
  typeUrl: string,
  value: Uint8Array,
  optional: boolean,
  context: CompileContext,
): unknown {
  const factory = context.engine.httpFilter(typeUrl);
  if (factory === undefined) {
    if (optional) return undefined;
    return context.fail(`Didn't find a registered implementation for type: '${shortType(typeUrl)}'`);
  }
  return factory.compileRoute?.(value, context, typeUrl);
}

export function shortType(typeUrl: string): string {
  return typeUrl.slice(typeUrl.lastIndexOf('/') + 1);
}
