/**
 * A small language for the fields and constraints of custom resources. One description gives the CRD's
 * OpenAPI schema (`toOpenApi`) and the TypeScript type (`Infer`), so the two cannot drift apart.
 */

/** A JSON Schema node in the dialect that Kubernetes accepts in CRDs. */
export type OpenApiSchema = { readonly [keyword: string]: unknown };

/** `T` is the TypeScript type of a value; `Optional` says whether a parent may leave the field out. */
export interface Model<T, Optional extends boolean = true> {
  readonly optional: Optional;
  readonly openApi: OpenApiSchema;
  /** Phantom: carries `T` for `Infer`, never set. */
  readonly valueType?: T;
}

export type Infer<M> = M extends Model<infer T, boolean> ? T : never;

type Fields = Readonly<Record<string, Model<unknown, boolean>>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: F[K] extends Model<unknown, true> ? K : never;
}[keyof F];
type ObjectOf<F extends Fields> = {
  readonly [K in Exclude<keyof F, OptionalKeys<F>>]: Infer<F[K]>;
} & { readonly [K in OptionalKeys<F>]?: Infer<F[K]> };

interface Common {
  readonly default?: unknown;
  readonly nullable?: true;
  /** What a schema can't say, in CEL over `self`. The API server refuses rules that could become expensive. */
  readonly rules?: readonly Rule[];
}
export interface Rule {
  readonly rule: string;
  readonly message: string;
}
export interface StringOptions extends Common {
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly pattern?: string;
  readonly format?: string;
}
export interface NumberOptions extends Common {
  readonly minimum?: number;
  readonly maximum?: number;
  readonly format?: string;
  readonly enum?: readonly number[];
}
export interface ListOptions extends Common {
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly listType?: string;
  readonly listMapKeys?: readonly string[];
}
export interface MapOptions extends Common {
  readonly maxProperties?: number;
  readonly minProperties?: number;
}
export interface ObjectOptions extends MapOptions {
  readonly mapType?: string;
  readonly preserveUnknownFields?: true;
  /** At most one of these fields may be set. */
  readonly atMostOneOf?: readonly string[];
}

const keyword: Readonly<Record<string, string>> = {
  listType: 'x-kubernetes-list-type',
  listMapKeys: 'x-kubernetes-list-map-keys',
  mapType: 'x-kubernetes-map-type',
  preserveUnknownFields: 'x-kubernetes-preserve-unknown-fields',
  rules: 'x-kubernetes-validations',
};

function constraints(options: object): OpenApiSchema {
  return Object.fromEntries(Object.entries(options).map(([name, value]) => [keyword[name] ?? name, value]));
}

function model<T>(openApi: OpenApiSchema): Model<T> {
  return { optional: true, openApi };
}

export function string(options: StringOptions = {}): Model<string> {
  return model({ type: 'string', ...constraints(options) });
}

export function oneOf<const T extends string>(values: readonly T[], options: Common = {}): Model<T> {
  return model({ type: 'string', enum: values, ...constraints(options) });
}

export function integer(options: NumberOptions = {}): Model<number> {
  return model({ type: 'integer', ...constraints(options) });
}

export function number(options: NumberOptions = {}): Model<number> {
  return model({ type: 'number', ...constraints(options) });
}

export function boolean(options: Common = {}): Model<boolean> {
  return model({ type: 'boolean', ...constraints(options) });
}

export function intOrString(options: Common = {}): Model<number | string> {
  return model({ 'x-kubernetes-int-or-string': true, ...constraints(options) });
}

/** Any JSON value, kept as it is. */
export function anything(options: Common & { preserveUnknownFields?: true } = {}): Model<unknown> {
  return model({ 'x-kubernetes-preserve-unknown-fields': true, ...constraints(options) });
}

export function list<T>(items: Model<T>, options: ListOptions = {}): Model<readonly T[]> {
  return model({ type: 'array', items: items.openApi, ...constraints(options) });
}

export function map<T>(values: Model<T>, options: MapOptions = {}): Model<Readonly<Record<string, T>>> {
  return model({ type: 'object', additionalProperties: values.openApi, ...constraints(options) });
}

export function required<T>(inner: Model<T>): Model<T, false> {
  return { optional: false, openApi: inner.openApi };
}

export function object<F extends Fields>(fields: F, options: ObjectOptions = {}): Model<ObjectOf<F>> {
  const { atMostOneOf, ...rest } = options;
  const names = Object.keys(fields);
  const needed = names.filter((name) => fields[name]?.optional === false);
  return model({
    type: 'object',
    ...(names.length > 0
      ? { properties: Object.fromEntries(names.map((n) => [n, fields[n]?.openApi])) }
      : {}),
    ...(needed.length > 0 ? { required: needed } : {}),
    ...constraints(rest),
    ...(atMostOneOf === undefined ? {} : { oneOf: exclusive(atMostOneOf) }),
  });
}

/** Structural schemas allow `oneOf` with `required` only: either none of the fields, or exactly one. */
function exclusive(fields: readonly string[]): readonly OpenApiSchema[] {
  const alternatives = fields.map((field) => ({ required: [field] }));
  return [{ not: { anyOf: alternatives } }, ...alternatives];
}

export interface ResourceVersion {
  readonly name: string;
  readonly storage?: true;
  readonly served?: false;
}
export interface PrinterColumn {
  readonly name: string;
  readonly jsonPath: string;
  readonly type: string;
  /** 1 shows the column only with `-o wide`. */
  readonly priority?: 1;
}
export interface ResourceModel<T> {
  readonly group: string;
  readonly kind: string;
  readonly plural: string;
  readonly shortNames?: readonly string[];
  readonly categories: readonly string[];
  readonly scope: 'Namespaced' | 'Cluster';
  readonly versions: readonly ResourceVersion[];
  readonly statusSubresource: boolean;
  readonly columns: readonly PrinterColumn[];
  readonly schema: Model<T>;
}

export function defineResource<T>(resource: ResourceModel<T>): ResourceModel<T> {
  return resource;
}

/** The TypeScript type of a custom resource's object, without the generic metadata. */
export type CustomResource<R> = R extends ResourceModel<infer T> ? T : never;
