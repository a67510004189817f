import { compileExpression } from '../../schema/index.ts';
import { stringAt, type JsonObject } from '../object.ts';
import type { AdmissionRequest } from './admission.ts';

/** The variables that every admission expression has. */
export function requestBindings(request: AdmissionRequest, requestJson: JsonObject): Record<string, unknown> {
  return { object: request.object, oldObject: request.oldObject, request: requestJson };
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
