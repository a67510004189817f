import { envoy } from '@weft/api/envoy';
import { HeaderMap, type MetadataStruct } from '../../engine/types.ts';
import type { StringPredicate } from '../../matching/index.ts';
import type { FetchedResponse } from '../cluster-fetch.ts';
import { structToPlain } from '../message.ts';

type HeaderValueOption = envoy.config.core.v3.HeaderValueOption.$Properties;

export interface HeaderChange {
  readonly name: string;
  readonly value: string;
  /** set: in place of what is there; append: only to what is there; add: in any case. */
  readonly how: 'set' | 'append' | 'add';
}

/** What the authorization service made of a request. */
export type Verdict =
  | {
      readonly kind: 'allowed';
      readonly request: readonly HeaderChange[];
      readonly remove: readonly string[];
      readonly response: readonly HeaderChange[];
      readonly query: {
        readonly set: readonly (readonly [string, string])[];
        readonly remove: readonly string[];
      };
      readonly metadata: MetadataStruct;
    }
  | {
      readonly kind: 'denied';
      readonly status: number;
      readonly headers: readonly HeaderChange[];
      readonly body: string;
      readonly metadata: MetadataStruct;
    }
  /** It said nothing that could be understood. */
  | { readonly kind: 'error' };

export const ERROR: Verdict = { kind: 'error' };
const DENIED_STATUS = 403;
const REMOVE_HEADER = 'x-envoy-auth-headers-to-remove';

/** Which headers of an HTTP service's answer go where. Undefined: as Envoy does without being told. */
export interface AnswerHeaders {
  readonly toUpstream: StringPredicate;
  readonly appendToUpstream: StringPredicate;
  readonly toClientWhenAllowed: StringPredicate;
  readonly toClientWhenDenied: StringPredicate | undefined;
  readonly toMetadata: StringPredicate;
}

/** Go to the client with a denial, whatever the list says. */
const ALWAYS_TO_CLIENT: ReadonlySet<string> = new Set(['www-authenticate', 'location', 'proxy-authenticate']);
/** Of the connection between the service and this proxy. */
const OF_THE_HOP: ReadonlySet<string> = new Set([
  'content-length',
  'transfer-encoding',
  'connection',
  'date',
  'server',
]);

/** 200 allows, and nothing else; 5xx is an error; any other status goes to the client as the denial. */
export function verdictOfHttp({ status, headers, body }: FetchedResponse, rules: AnswerHeaders): Verdict {
  if (status >= 500 || status < 200) return ERROR;
  const fields = [...headers];
  const pick = (wanted: StringPredicate, how: HeaderChange['how']): HeaderChange[] =>
    fields.flatMap(([name, value]) => (wanted(name) ? [{ name, value, how }] : []));
  const metadata = Object.fromEntries(fields.filter(([name]) => rules.toMetadata(name)));
  if (status === 200) {
    return checked({
      kind: 'allowed',
      request: [...pick(rules.toUpstream, 'set'), ...pick(rules.appendToUpstream, 'append')],
      remove: (headers.joined(REMOVE_HEADER) ?? '').split(',').map((name) => name.trim()),
      response: pick(rules.toClientWhenAllowed, 'set'),
      query: { set: [], remove: [] },
      metadata,
    });
  }
  const { toClientWhenDenied } = rules;
  const wanted = (name: string): boolean =>
    !OF_THE_HOP.has(name) &&
    (toClientWhenDenied === undefined || toClientWhenDenied(name) || ALWAYS_TO_CLIENT.has(name));
  return checked({ kind: 'denied', status, headers: pick(wanted, 'add'), body: body.toString(), metadata });
}

/** @param message the bytes of a CheckResponse */
export function verdictOfGrpc(message: Uint8Array): Verdict {
  let response: envoy.service.auth.v3.CheckResponse;
  try {
    response = envoy.service.auth.v3.CheckResponse.decode(message);
  } catch {
    return ERROR;
  }
  const metadata = structToPlain(response.dynamicMetadata ?? response.okResponse?.dynamicMetadata ?? {});
  if ((response.status?.code ?? 0) === 0) {
    const ok = response.okResponse ?? {};
    return checked({
      kind: 'allowed',
      request: (ok.headers ?? []).map((option) => change(option, 'append')),
      remove: ok.headersToRemove ?? [],
      response: (ok.responseHeadersToAdd ?? []).map((option) => change(option, 'add')),
      query: {
        set: (ok.queryParametersToSet ?? []).map(({ key, value }) => [key ?? '', value ?? ''] as const),
        remove: ok.queryParametersToRemove ?? [],
      },
      metadata,
    });
  }
  const { status, headers, body } = response.deniedResponse ?? {};
  const code = status?.code ?? 0;
  return checked({
    kind: 'denied',
    status: code === 0 ? DENIED_STATUS : code,
    headers: (headers ?? []).map((option) => change(option, 'add')),
    body: body ?? '',
    metadata,
  });
}

function change(
  { header, append, appendAction }: HeaderValueOption,
  appending: 'append' | 'add',
): HeaderChange {
  const { OVERWRITE_IF_EXISTS_OR_ADD } = envoy.config.core.v3.HeaderValueOption.HeaderAppendAction;
  const raw = header?.rawValue;
  return {
    name: (header?.key ?? '').toLowerCase(),
    value: header?.value || (raw ? Buffer.from(raw).toString('latin1') : ''),
    // Here, unlike elsewhere in the API, nothing said means to overwrite what a request brings.
    how:
      append?.value === true ||
      (appending === 'add' && !append && appendAction !== OVERWRITE_IF_EXISTS_OR_ADD)
        ? appending
        : 'set',
  };
}

const validName = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/;
// oxlint-disable-next-line no-control-regex -- what would end a field early
const invalidValue = /[\0\r\n]/;

/** A service that wants what can't be a header, or a status, has not answered. */
function checked(verdict: Exclude<Verdict, { kind: 'error' }>): Verdict {
  const changes = verdict.kind === 'allowed' ? [...verdict.request, ...verdict.response] : verdict.headers;
  if (changes.some(({ name, value }) => !validName.test(name) || invalidValue.test(value))) return ERROR;
  if (verdict.kind === 'denied' && (verdict.status < 200 || verdict.status > 599)) return ERROR;
  return verdict;
}

export function applyChanges(headers: HeaderMap, changes: readonly HeaderChange[]): void {
  for (const { name, value, how } of changes) {
    // Where the request goes was decided before, and what was allowed is what goes there.
    if (name === 'host') continue;
    if (how === 'set') headers.set(name, value);
    else if (how === 'add' || headers.has(name)) headers.append(name, value);
  }
}
