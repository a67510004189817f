/** Anything that JSON can say. */
export type Json = null | boolean | number | string | readonly Json[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: Json;
}

/** The field by which the items of a list are told apart; lists that aren't here are replaced as a whole. */
const mergeKeys: Readonly<Record<string, readonly string[]>> = {
  containers: ['name'],
  initContainers: ['name'],
  env: ['name'],
  envFrom: ['prefix'],
  volumes: ['name'],
  volumeMounts: ['mountPath'],
  volumeDevices: ['devicePath'],
  // Of a container; of a Service.
  ports: ['containerPort', 'port'],
  imagePullSecrets: ['name'],
  secrets: ['name'],
  hostAliases: ['ip'],
  topologySpreadConstraints: ['topologyKey'],
};

/**
 * Kubernetes' strategic merge, for the kinds that a Gateway becomes: objects are merged, `null` removes a field, items of
 * known lists are merged by their keys, and `$patch: delete` or `replace` does that to an object or an item.
 */
export function strategicMerge(base: Json | undefined, patch: Json, field = ''): Json | undefined {
  if (isList(patch)) return mergeList(isList(base) ? base : [], patch, field);
  if (!isObject(patch)) return patch;
  const { $patch: directive, ...changes } = patch;
  if (directive === 'delete') return undefined;
  const merged = new Map(directive === 'replace' || !isObject(base) ? [] : Object.entries(base));
  for (const [key, value] of Object.entries(changes)) {
    if (key.startsWith('$')) continue; // orders and hints of clients that compute patches
    const result = value === null ? undefined : strategicMerge(merged.get(key), value, key);
    if (result === undefined) merged.delete(key);
    else merged.set(key, result);
  }
  return Object.fromEntries(merged);
}

function mergeList(base: readonly Json[], patch: readonly Json[], field: string): readonly Json[] {
  const keys = Object.hasOwn(mergeKeys, field) ? (mergeKeys[field] ?? []) : [];
  const key = keys.find((candidate) => patch.some((item) => isObject(item) && item[candidate] !== undefined));
  if (key === undefined) return patch;
  const result = [...base];
  for (const item of patch) {
    const at = result.findIndex((known) => isObject(known) && isObject(item) && known[key] === item[key]);
    const merged = strategicMerge(at < 0 ? undefined : result[at], item, '');
    if (merged === undefined) result.splice(at < 0 ? result.length : at, 1);
    else result.splice(at < 0 ? result.length : at, 1, merged);
  }
  return result;
}

function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
