import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { envoyFromJson } from '@weft/api/envoy-json';
import { envoy } from '@weft/api/envoy';
import { WeftError, describeError } from '@weft/telemetry';

export type Bootstrap = envoy.config.bootstrap.v3.Bootstrap;

const TYPE = 'envoy.config.bootstrap.v3.Bootstrap';

/**
 * Reads a bootstrap file: Envoy's YAML or JSON, which is ProtoJSON with either spelling of field names.
 * @throws WEFT2102 naming the file and the field
 */
export function readBootstrap(path: string): Bootstrap {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new WeftError('WEFT2102', `${path} cannot be read`, { cause: error });
  }
  try {
    return parseBootstrap(parse(text, { maxAliasCount: 1_000 }));
  } catch (error) {
    throw new WeftError('WEFT2102', `${path}: ${describeError(error)}`, { cause: error });
  }
}

/** @throws Error that names the field */
export function parseBootstrap(json: unknown): Bootstrap {
  return envoy.config.bootstrap.v3.Bootstrap.decode(envoyFromJson(TYPE, json));
}

/** What the layered runtime says statically, by key; nested maps read as dotted keys, later layers win. */
export function staticRuntime(bootstrap: Bootstrap): ReadonlyMap<string, unknown> {
  const values = new Map<string, unknown>();
  const add = (prefix: string, value: envoy.config.bootstrap.v3.RuntimeLayer['staticLayer']): void => {
    for (const [key, field] of Object.entries(value?.fields ?? {})) {
      const path = prefix === '' ? key : `${prefix}.${key}`;
      if (field.structValue) add(path, field.structValue);
      else values.set(path, field.boolValue ?? field.numberValue ?? field.stringValue ?? null);
    }
  };
  for (const layer of bootstrap.layeredRuntime?.layers ?? []) add('', layer.staticLayer ?? null);
  return values;
}
