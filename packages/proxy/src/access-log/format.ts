import type { google } from '@weft/api/envoy';
import type { HeaderMap, MetadataStruct, MetadataValue, StreamInfo } from '../engine/types.ts';
import { at, invalid } from '../matching/index.ts';
import { compileOperator } from './operators.ts';

/** What an operator finds; undefined is `-` in text and null in JSON. */
export type FormatValue = MetadataValue | undefined;
export type ValueFormatter = (info: StreamInfo, context: FormatContext) => FormatValue;
export type TextFormatter = (info: StreamInfo, context?: FormatContext) => string;

/** What isn't part of the stream. */
export interface FormatContext {
  /** Of a local reply. */
  readonly localReplyBody?: string;
  /** While the request is still on its way: headers not yet in the stream's info. */
  readonly requestHeaders?: HeaderMap;
}
const nothing: FormatContext = {};

export interface FormatOptions {
  /** Absent values are empty, or left out of JSON. */
  readonly omitEmptyValues?: boolean;
}

type Part = string | ValueFormatter;

/** `%OPERATOR(arguments):length%`, `%%` for a percent sign. Arguments hold no `)`. */
const OPERATOR = /%(?:%|([A-Z][A-Z0-9_]*)(?:\(([^)]*)\))?(?::(\d+))?%)/g;

/** A line, header value or filter-state value with operators in it. Throws `InvalidValue` for an unknown operator. */
export function compileFormat(format: string, options: FormatOptions = {}): TextFormatter {
  const parts = parse(format);
  const absent = options.omitEmptyValues === true ? '' : '-';
  const [only] = parts;
  if (parts.length === 1 && typeof only === 'string') return () => only;
  return (info, context = nothing) => {
    let out = '';
    for (const part of parts) out += typeof part === 'string' ? part : valueText(part(info, context), absent);
    return out;
  };
}

/** The same as a plain value: one operator alone keeps its type. */
export function compileValueFormat(format: string): ValueFormatter {
  const [only, ...others] = parse(format);
  if (others.length === 0 && typeof only === 'function') return only;
  const text = compileFormat(format);
  return (info, context) => text(info, context);
}

/** A Struct whose strings are formats: numbers stay numbers, what is absent is null; keys sorted. */
export function compileJsonFormat(
  struct: google.protobuf.Struct.$Properties,
  options: FormatOptions = {},
): (info: StreamInfo, context?: FormatContext) => MetadataStruct {
  const omit = options.omitEmptyValues === true;
  const format = compileStruct(struct, omit);
  return (info, context = nothing) => {
    const value = format(info, context);
    return typeof value === 'object' && value !== null && !Array.isArray(value)
      ? (value as MetadataStruct) // compileStruct makes nothing else
      : {};
  };
}

function compileStruct(struct: google.protobuf.Struct.$Properties, omit: boolean): ValueFormatter {
  const members = Object.entries(struct.fields ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => [key, at(key, () => compileJsonValue(value, omit))] as const);
  return (info, context) => {
    const entries = members.map(([key, format]) => [key, format(info, context)] as const);
    return Object.fromEntries(
      entries.filter(([, value]) => !omit || value !== undefined).map(([k, v]) => [k, v ?? null]),
    );
  };
}

function compileJsonValue(value: google.protobuf.Value.$Properties, omit: boolean): ValueFormatter {
  switch (value.kind) {
    case 'stringValue':
      return compileValueFormat(value.stringValue ?? '');
    case 'structValue':
      return compileStruct(value.structValue ?? {}, omit);
    case 'listValue': {
      const elements = (value.listValue?.values ?? []).map((v, i) =>
        at(`[${i}]`, () => compileJsonValue(v, omit)),
      );
      return (info, context) => elements.map((format) => format(info, context) ?? null);
    }
    case 'numberValue':
      return () => value.numberValue ?? 0;
    case 'boolValue':
      return () => value.boolValue ?? false;
    default:
      return () => null;
  }
}

function parse(format: string): readonly Part[] {
  const parts: Part[] = [];
  let end = 0;
  let literal = '';
  for (const match of format.matchAll(OPERATOR)) {
    literal += plain(format.slice(end, match.index));
    end = match.index + match[0].length;
    const [whole, name, argument, length] = match;
    if (whole === '%%') {
      literal += '%';
      continue;
    }
    if (literal !== '') parts.push(literal);
    literal = '';
    parts.push(bounded(compileOperator(name ?? '', argument), length));
  }
  literal += plain(format.slice(end));
  if (literal !== '' || parts.length === 0) parts.push(literal);
  return parts;
}

function plain(text: string): string {
  return text.includes('%') ? invalid(`no operator begins at "${text.slice(text.indexOf('%'), 40)}"`) : text;
}

function bounded(format: ValueFormatter, length: string | undefined): ValueFormatter {
  if (length === undefined) return format;
  const limit = Number(length);
  return (info, context) => {
    const value = format(info, context);
    return typeof value === 'string' ? value.slice(0, limit) : value;
  };
}

function valueText(value: FormatValue, absent: string): string {
  if (value === undefined || value === null || value === '') return value === '' ? '' : absent;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}
