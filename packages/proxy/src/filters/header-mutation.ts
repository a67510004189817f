import { envoy } from '@weft/api/envoy';
import { compileFormat } from '../access-log/index.ts';
import type { HeaderMap, HttpFilterFactory, StreamInfo } from '../engine/types.ts';
import { at, invalid } from '../matching/index.ts';
import { compileMessage } from './message.ts';

const NAME = 'envoy.filters.http.header_mutation';

export type HeaderMutator = (headers: HeaderMap, info: StreamInfo) => void;

interface Mutations {
  readonly request: HeaderMutator;
  readonly response: HeaderMutator;
}

/** `envoy.filters.http.header_mutation`: the filter's own changes, then the route's. */
export const headerMutation: HttpFilterFactory = {
  name: NAME,
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation'],
  routeTypeUrls: [
    'type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutationPerRoute',
  ],
  compile(config, context) {
    const { HeaderMutation } = envoy.extensions.filters.http.header_mutation.v3;
    const own = compileMessage(HeaderMutation, config, context, (m) =>
      at('mutations', () => compile(m.mutations)),
    );
    const name = context.filterName ?? NAME;
    return {
      create: () => ({
        onRequestHeaders: (headers, _endStream, callbacks) => {
          own.request(headers, callbacks.info);
          // compileRoute of this filter made it; the route table only keeps it.
          (callbacks.route()?.filterConfig(name) as Mutations | undefined)?.request(headers, callbacks.info);
          return 'continue';
        },
        onResponseHeaders: (headers, _endStream, callbacks) => {
          own.response(headers, callbacks.info);
          (callbacks.info.route?.filterConfig(name) as Mutations | undefined)?.response(
            headers,
            callbacks.info,
          );
          return 'continue';
        },
      }),
    };
  },
  compileRoute(config, context): Mutations {
    const { HeaderMutationPerRoute } = envoy.extensions.filters.http.header_mutation.v3;
    return compileMessage(HeaderMutationPerRoute, config, context, (m) =>
      at('mutations', () => compile(m.mutations)),
    );
  },
};

function compile(
  mutations: envoy.extensions.filters.http.header_mutation.v3.Mutations.$Properties | null | undefined,
): Mutations {
  return {
    request: compileHeaderMutations(mutations?.requestMutations ?? [], 'request_mutations'),
    response: compileHeaderMutations(mutations?.responseMutations ?? [], 'response_mutations'),
  };
}

export function compileHeaderMutations(
  mutations: readonly envoy.config.common.mutation_rules.v3.HeaderMutation.$Properties[],
  path: string,
): HeaderMutator {
  const steps = mutations.map((m, i) => at(`${path}[${i}]`, () => compileStep(m)));
  return (headers, info) => {
    for (const step of steps) step(headers, info);
  };
}

function compileStep(
  mutation: envoy.config.common.mutation_rules.v3.HeaderMutation.$Properties,
): HeaderMutator {
  switch (mutation.action) {
    case 'remove': {
      const name = changeable(mutation.remove, 'remove');
      return (headers) => void headers.delete(name);
    }
    case 'append':
      return at('append', () => compileHeaderOption(mutation.append ?? {}));
    default:
      return invalid('action is required');
  }
}

/** One `HeaderValueOption`; its value is a format. */
export function compileHeaderOption(
  option: envoy.config.core.v3.HeaderValueOption.$Properties,
): HeaderMutator {
  const { HeaderAppendAction } = envoy.config.core.v3.HeaderValueOption;
  const name = changeable(option.header?.key, 'header.key');
  const { value, rawValue } = option.header ?? {};
  const text = value || (rawValue ? Buffer.from(rawValue).toString('latin1') : '');
  const format = at('header.value', () => compileFormat(text, { omitEmptyValues: true }));
  const keepEmpty = option.keepEmptyValue === true;
  // `append` is the older spelling: false meant to overwrite.
  const action =
    option.append?.value === false
      ? HeaderAppendAction.OVERWRITE_IF_EXISTS_OR_ADD
      : (option.appendAction ?? HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD);
  return (headers, info) => {
    const formatted = format(info);
    if (formatted === '' && !keepEmpty) return;
    switch (action) {
      case HeaderAppendAction.APPEND_IF_EXISTS_OR_ADD:
        return headers.append(name, formatted);
      case HeaderAppendAction.ADD_IF_ABSENT:
        return headers.has(name) ? undefined : headers.append(name, formatted);
      case HeaderAppendAction.OVERWRITE_IF_EXISTS:
        return headers.has(name) ? headers.set(name, formatted) : undefined;
      default:
        return headers.set(name, formatted);
    }
  };
}

/** Pseudo headers and Host decide about routing and policy, which have run by now. */
function changeable(name: string | null | undefined, path: string): string {
  const key = (name ?? '').toLowerCase();
  if (key === '') invalid('must not be empty', path);
  if (key.startsWith(':') || key === 'host') invalid(`"${key}" cannot be changed`, path);
  return key;
}
