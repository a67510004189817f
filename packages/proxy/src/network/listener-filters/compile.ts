import { envoy } from '@weft/api/envoy';
import { typedConfig, TYPE_PREFIX } from '../../config/typed-config.ts';
import type { CompileContext } from '../../engine/types.ts';
import type { AcceptedStream } from '../socket-stream.ts';
import { httpInspector } from './http-inspector.ts';
import type { ListenerFilter } from './listener-filter.ts';
import { originalDestination, type OriginalDestination } from './original-destination.ts';
import { proxyProtocol } from './proxy-protocol.ts';
import type { ConditionalFilter } from './run.ts';
import { tlsInspector } from './tls-inspector.ts';

type Predicate = envoy.config.listener.v3.ListenerFilterChainMatchPredicate.$Properties;

const FILTERS = `${TYPE_PREFIX}envoy.extensions.filters.listener.`;

/** Compiles `listener_filters`. */
export function listenerFilters(
  messages: readonly envoy.config.listener.v3.ListenerFilter.$Properties[],
  context: CompileContext,
  ofSocket: OriginalDestination | undefined,
): readonly ConditionalFilter[] {
  return messages.map((message, i) => {
    const at = context.at(`listener_filters[${i}]`);
    const disabled = message.filterDisabled
      ? predicate(message.filterDisabled, at.at('filter_disabled'))
      : never;
    return { filter: listenerFilter(message, at, ofSocket), disabledFor: disabled };
  });
}

function listenerFilter(
  message: envoy.config.listener.v3.ListenerFilter.$Properties,
  context: CompileContext,
  ofSocket: OriginalDestination | undefined,
): ListenerFilter {
  const config = typedConfig(message.typedConfig, context.at('typed_config'));
  // These four may stand without configuration, by their names alone.
  const kind = config?.typeUrl ?? NAMES[message.name ?? ''] ?? '';
  switch (kind) {
    case `${FILTERS}original_dst.v3.OriginalDst`:
      return originalDestination(ofSocket);
    case `${FILTERS}tls_inspector.v3.TlsInspector`:
      return tlsInspector;
    case `${FILTERS}http_inspector.v3.HttpInspector`:
      return httpInspector;
    case `${FILTERS}proxy_protocol.v3.ProxyProtocol`: {
      const { ProxyProtocol } = envoy.extensions.filters.listener.proxy_protocol.v3;
      const decoded = ProxyProtocol.decode(config?.value ?? new Uint8Array());
      return proxyProtocol(decoded.allowRequestsWithoutProxyProtocol);
    }
    default:
      return context.fail(
        `Didn't find a registered implementation for '${message.name ?? ''}' with type URL: '${config?.typeUrl ?? ''}'`,
      );
  }
}

const NAMES: Readonly<Record<string, string>> = {
  'envoy.filters.listener.original_dst': `${FILTERS}original_dst.v3.OriginalDst`,
  'envoy.filters.listener.tls_inspector': `${FILTERS}tls_inspector.v3.TlsInspector`,
  'envoy.filters.listener.http_inspector': `${FILTERS}http_inspector.v3.HttpInspector`,
  'envoy.filters.listener.proxy_protocol': `${FILTERS}proxy_protocol.v3.ProxyProtocol`,
};

type Test = (connection: AcceptedStream) => boolean;
const never: Test = () => false;

function predicate(p: Predicate, context: CompileContext): Test {
  const all = (list: readonly Predicate[] | null | undefined): Test[] =>
    (list ?? []).map((x) => predicate(x, context));
  switch (p.rule) {
    case 'orMatch': {
      const tests = all(p.orMatch?.rules);
      return (connection) => tests.some((test) => test(connection));
    }
    case 'andMatch': {
      const tests = all(p.andMatch?.rules);
      return (connection) => tests.every((test) => test(connection));
    }
    case 'notMatch': {
      const test = predicate(p.notMatch ?? {}, context);
      return (connection) => !test(connection);
    }
    case 'anyMatch': {
      const { anyMatch = false } = p;
      return () => anyMatch === true;
    }
    case 'destinationPortRange': {
      const { start = 0, end = 0 } = p.destinationPortRange ?? {};
      return ({ info: { localAddress } }) =>
        localAddress.kind === 'ip' && localAddress.port >= (start ?? 0) && localAddress.port < (end ?? 0);
    }
    default:
      return context.fail('a rule is required');
  }
}
