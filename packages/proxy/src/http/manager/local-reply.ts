import type { envoy } from '@weft/api/envoy';
import { substitution } from '../../access-log/index.ts';
import { compileLogFilter } from '../../access-log/filter.ts';
import { HeaderMap, type LocalReply, type StreamInfo } from '../../engine/types.ts';
import { at } from '../../matching/index.ts';
import { compileHeaderMutations } from '../route/header-mutations.ts';
import type { ChosenRoute } from '../route/route.ts';

type LocalReplyConfig =
  envoy.extensions.filters.network.http_connection_manager.v3.LocalReplyConfig.$Properties;
type FormatConfig = envoy.config.core.v3.SubstitutionFormatString.$Properties;

export interface Reply {
  status: number;
  body: string;
  contentType: string;
  readonly headers: HeaderMap;
}

/** Changes replies as `local_reply_config` says. */
export type LocalReplyMapper = (reply: Reply, info: StreamInfo) => void;

export function compileLocalReplyMapper(
  config: LocalReplyConfig | null | undefined,
  random: () => number,
): LocalReplyMapper {
  if (!config) return () => undefined;
  const mappers = (config.mappers ?? []).map((mapper, i) =>
    at(`mappers[${i}]`, () => ({
      wanted: mapper.filter ? compileLogFilter(mapper.filter, random) : () => true,
      status: mapper.statusCode?.value ?? undefined,
      body: mapper.body ? (mapper.body.inlineString ?? '') : undefined,
      format: mapper.bodyFormatOverride ? compileBodyFormat(mapper.bodyFormatOverride) : undefined,
      headers: compileHeaderMutations(mapper.headersToAdd, [], 'response'),
    })),
  );
  const format = config.bodyFormat ? compileBodyFormat(config.bodyFormat) : undefined;
  return (reply, info) => {
    const mapper = mappers.find(({ wanted }) => wanted(info));
    if (mapper !== undefined) {
      if (mapper.body !== undefined) reply.body = mapper.body;
      if (mapper.status !== undefined) {
        reply.status = mapper.status;
        info.responseCode = mapper.status;
      }
      mapper.headers.apply(reply.headers, info);
    }
    (mapper?.format ?? format)?.(reply, info);
  };
}

function compileBodyFormat(config: FormatConfig): (reply: Reply, info: StreamInfo) => void {
  const json = config.format === 'jsonFormat';
  const contentType = config.contentType || (json ? 'application/json' : 'text/plain');
  const text = config.format === 'textFormat' ? (config.textFormat ?? '') : undefined;
  // %LOCAL_REPLY_BODY% is known here only.
  const parts = text
    ?.split('%LOCAL_REPLY_BODY%')
    .map((textFormat) => substitution({ ...config, textFormat }));
  const whole = parts === undefined ? substitution(config) : undefined;
  return (reply, info) => {
    reply.body =
      parts === undefined
        ? (whole?.(info) ?? reply.body)
        : parts.map((format) => format(info)).join(reply.body);
    reply.contentType = contentType;
  };
}

/** gRPC status of an HTTP status, for clients that expect one (gRPC's http-grpc-status-mapping). */
export function grpcStatusOfHttp(status: number): number {
  switch (status) {
    case 400:
      return 13;
    case 401:
      return 16;
    case 403:
      return 7;
    case 404:
      return 12;
    case 429:
    case 502:
    case 503:
    case 504:
      return 14;
    default:
      return 2;
  }
}

/** Headers and body of a local reply. gRPC gets a trailers-only response. */
export function buildLocalReply(
  reply: LocalReply,
  info: StreamInfo,
  o: {
    readonly grpc: boolean;
    readonly head: boolean;
    /** Whose header changes may apply, before the mapper's. */
    readonly route: ChosenRoute | undefined;
    readonly map: LocalReplyMapper;
  },
): { readonly headers: HeaderMap; readonly body: Buffer } {
  const mapped: Reply = {
    status: reply.status,
    body: reply.body ?? '',
    contentType: 'text/plain',
    headers: new HeaderMap(),
  };
  for (const [name, value] of reply.headers ?? []) mapped.headers.append(name, value);
  mapped.headers.status = reply.status;
  if (routeMutates(reply, o.route)) o.route?.mutate('response', mapped.headers, info);
  o.map(mapped, info);
  const { headers } = mapped;
  if (o.grpc) {
    headers.status = 200;
    headers.set('content-type', 'application/grpc');
    headers.set('grpc-status', String(reply.grpcStatus ?? grpcStatusOfHttp(mapped.status)));
    if (mapped.body !== '') headers.set('grpc-message', percentEncode(mapped.body));
    headers.delete('content-length');
    return { headers, body: Buffer.alloc(0) };
  }
  headers.status = mapped.status;
  const body = Buffer.from(mapped.body);
  if (body.length > 0) {
    headers.set('content-length', String(body.length));
    if (!headers.has('content-type')) headers.set('content-type', mapped.contentType);
  }
  return { headers, body: o.head ? Buffer.alloc(0) : body };
}

/** A route that answers by itself changes no other answer. */
function routeMutates(reply: LocalReply, route: ChosenRoute | undefined): boolean {
  if (reply.unrouted === true) return false;
  return reply.details === 'direct_response' || route?.route.action.kind === 'forward';
}

/** gRPC's percent-encoding of grpc-message. */
function percentEncode(text: string): string {
  let out = '';
  for (const byte of Buffer.from(text)) {
    out +=
      byte >= 0x20 && byte <= 0x7e && byte !== 0x25
        ? String.fromCharCode(byte)
        : `%${byte.toString(16).toUpperCase().padStart(2, '0')}`;
  }
  return out;
}
