import { envoyFields, type EnvoyField } from '@weft/api/envoy-fields';
import { statesOf } from './table/index.ts';

const ANY = 'google.protobuf.Any';

/** What the walk does with a field: made of the table and the descriptors once, for every resource is walked. */
export interface FieldPlan {
  readonly field: EnvoyField;
  /**
   * refuse: unless it has its default; skip: it holds nothing that could be unsupported; walk, any: its message, or the
   * one in its Any, is looked into.
   */
  readonly action: 'refuse' | 'skip' | 'walk' | 'any';
  /** The only values that are accepted, beside a scalar's default. */
  readonly accepted: readonly string[] | undefined;
  /** See `MessageSupport.open`. */
  readonly open: boolean;
}

const plans = new Map<string, ReadonlyMap<number, FieldPlan>>();

/** By field number; undefined for a message that the engine doesn't act on. */
export function planOf(typeName: string): ReadonlyMap<number, FieldPlan> | undefined {
  const known = plans.get(typeName);
  if (known !== undefined) return known;
  const fields = envoyFields(typeName);
  const states = statesOf(typeName);
  if (fields === undefined || states === undefined) return undefined;
  const plan = new Map(
    [...fields].map(([number, field]): [number, FieldPlan] => [
      number,
      {
        field,
        action: actionOf(field, states.of(field.name).kind),
        accepted: states.valuesOf(field.name),
        open: states.acceptsAnyType(field.name),
      },
    ]),
  );
  plans.set(typeName, plan);
  return plan;
}

/** Struct, Duration and the like have no fields that could be unsupported. */
export function isLeaf(typeName: string): boolean {
  return typeName.startsWith('google.protobuf.');
}

function actionOf(field: EnvoyField, state: 'works' | 'ignored' | 'nacked'): FieldPlan['action'] {
  if (state === 'nacked') return 'refuse';
  if (field.kind !== 'message') return 'skip';
  if (field.type === ANY) return 'any';
  // What is ignored as a whole has no table; what has one says which of its fields may be.
  const overlooked = state === 'ignored' && statesOf(field.type) === undefined;
  return overlooked || isLeaf(field.type) ? 'skip' : 'walk';
}
