import { envoy } from '@weft/api/envoy';
import { compileFormat, type TextFormatter } from '../../access-log/index.ts';
import type { HeaderMap, StreamInfo } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';

type HeaderValueOption = envoy.config.core.v3.HeaderValueOption.$Properties;

const { HeaderAppendAction } = envoy.config.core.v3.HeaderValueOption;

interface Addition {
  readonly name: string;
  readonly format: TextFormatter;
  readonly action: 'append' | 'add-if-absent' | 'overwrite' | 'overwrite-if-exists';
  readonly keepEmpty: boolean;
}

/** Header changes of one level: removals, then additions in order. */
export interface HeaderMutations {
  apply(headers: HeaderMap, info: StreamInfo): void;
}

export const noMutations: HeaderMutations = { apply: () => undefined };

export function compileHeaderMutations(
  add: readonly HeaderValueOption[] | null | undefined,
  remove: readonly string[] | null | undefined,
  side: 'request' | 'response',
): HeaderMutations {
  const additions = (add ?? []).map((option, i) =>
    at(`${side}_headers_to_add[${i}]`, () => compileAddition(option)),
  );
  const removals = (remove ?? []).map((name, i) =>
    at(`${side}_headers_to_remove[${i}]`, () => mutableName(name)),
  );
  if (additions.length === 0 && removals.length === 0) return noMutations;
  return {
    apply(headers, info) {
      for (const name of removals) headers.delete(name);
      for (const addition of additions) applyAddition(addition, headers, info);
    },
  };
}

/** Routing depends on pseudo fields and host: only rewrites may change them. */
function mutableName(name: string): string {
  const lower = name.toLowerCase();
  if (lower === '') return invalid('header name must not be empty');
  if (lower.startsWith(':') || lower === 'host') return invalid(`"${name}" can't be changed`);
  if (!/^[!#$%&'*+\-.^_`|~0-9a-z]+$/.test(lower)) return invalid(`"${name}" is no header name`);
  return lower;
}

function compileAddition(option: HeaderValueOption): Addition {
  const name = mutableName(option.header?.key ?? '');
  const { rawValue } = option.header ?? {};
  const value =
    rawValue && rawValue.length > 0 ? Buffer.from(rawValue).toString('latin1') : option.header?.value;
  const format = at('header.value', () => compileFormat(value ?? '', { omitEmptyValues: true }));
  return { name, format, action: actionOf(option), keepEmpty: option.keepEmptyValue === true };
}

function actionOf(option: HeaderValueOption): Addition['action'] {
  // The deprecated boolean wins where it is set, as in Envoy.
  if (option.append) return option.append.value === true ? 'append' : 'overwrite';
  switch (option.appendAction) {
    case HeaderAppendAction.ADD_IF_ABSENT:
      return 'add-if-absent';
    case HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD:
      return 'overwrite';
    case HeaderAppendAction.OVERWRITE_IF_EXISTS:
      return 'overwrite-if-exists';
    default:
      return 'append';
  }
}

function applyAddition(addition: Addition, headers: HeaderMap, info: StreamInfo): void {
  const { name, action } = addition;
  const exists = action !== 'append' && headers.has(name);
  if (action === 'add-if-absent' && exists) return;
  if (action === 'overwrite-if-exists' && !exists) return;
  const value = addition.format(info, { requestHeaders: info.requestHeaders ?? headers });
  if (value === '' && !addition.keepEmpty) return;
  if (action === 'append' || action === 'add-if-absent') headers.append(name, value);
  else headers.set(name, value);
}
