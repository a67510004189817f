import { compileExpression } from '../../schema/index.ts';
import { isObject, stringAt, type JsonObject, type JsonValue } from '../object.ts';
import type { AdmissionRequest } from './admission.ts';

/** JSON for CEL: objects become maps and whole numbers integers, as fields of Kubernetes' types nearly always are. */
export function celValue(value: JsonValue | undefined): unknown {
  if (value === undefined) return null;
  if (typeof value === 'number') return Number.isSafeInteger(value) ? BigInt(value) : value;
  if (Array.isArray(value)) return value.map(celValue);
  if (isObject(value)) return new Map(Object.entries(value).map(([key, member]) => [key, celValue(member)]));
  return value;
}

export function requestBindings(request: AdmissionRequest, requestJson: JsonObject): Record<string, unknown> {
  return {
    object: celValue(request.object),
    oldObject: celValue(request.oldObject),
    request: celValue(requestJson),
  };
}

/** True when every condition is; the first false one decides before an error of another. Throws otherwise. */
export function matchConditionsHold(
  conditions: readonly JsonObject[],
  request: AdmissionRequest,
  requestJson: JsonObject,
  bindings: Record<string, unknown> = {},
): boolean {
  if (conditions.length === 0) return true;
  const values = { ...requestBindings(request, requestJson), ...bindings };
  let failure: unknown;
  for (const condition of conditions) {
    try {
      if (compileExpression(stringAt(condition, 'expression') ?? '')(values) !== true) return false;
    } catch (error) {
      failure ??= error;
    }
  }
  if (failure !== undefined) throw failure;
  return true;
}
