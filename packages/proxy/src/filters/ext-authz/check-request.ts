import { envoy } from '@weft/api/envoy';
import Long from 'long';
import type { HeaderMap, SocketAddress, StreamInfo, TlsInfo } from '../../engine/types.ts';
import type { StringPredicate } from '../../matching/index.ts';
import { plainToStruct } from '../message.ts';

export interface CheckOptions {
  /** Names of headers that the service may see. */
  readonly sees: StringPredicate;
  readonly includePeerCertificate: boolean;
  readonly includeTlsSession: boolean;
  readonly metadataNamespaces: readonly string[];
  readonly packAsBytes: boolean;
}

/** A gRPC CheckRequest: who asks whom for what. */
export function encodeCheckRequest(
  headers: HeaderMap,
  body: Buffer | undefined,
  info: StreamInfo,
  contextExtensions: Readonly<Record<string, string>>,
  o: CheckOptions,
): Uint8Array {
  const { connection } = info;
  const { tls } = connection;
  const length = Number(headers.get('content-length') ?? Number.NaN);
  const text = body !== undefined && !o.packAsBytes ? { body: body.toString('latin1') } : {};
  const raw = body !== undefined && o.packAsBytes ? { rawBody: body } : {};
  const metadata = o.metadataNamespaces.flatMap((namespace) => {
    const struct = info.dynamicMetadata.get(namespace);
    return struct === undefined ? [] : [[namespace, plainToStruct(struct)] as const];
  });
  const certificate = o.includePeerCertificate ? tls?.peerCertificatePem : undefined;
  return envoy.service.auth.v3.CheckRequest.encode({
    attributes: {
      source: {
        address: addressOf(connection.remoteAddress),
        principal: principalOf(tls?.peerUriSans, tls?.peerDnsSans, tls?.subjectPeer),
        ...(certificate === undefined ? {} : { certificate: encodeURIComponent(certificate) }),
      },
      destination: {
        address: addressOf(connection.localAddress),
        principal: principalOf(tls?.localUriSans, tls?.localDnsSans, tls?.subjectLocal),
      },
      request: {
        time: {
          seconds: Long.fromNumber(Math.floor(info.startTimeMs / 1_000)),
          nanos: Math.floor((info.startTimeMs % 1_000) * 1e6),
        },
        http: {
          id: info.streamId,
          method: headers.method ?? '',
          path: headers.path ?? '',
          host: headers.authority ?? '',
          scheme: headers.scheme ?? '',
          protocol: info.protocol ?? '',
          size: Long.fromNumber(Number.isNaN(length) ? -1 : length),
          headers: visibleHeaders(headers, o.sees),
          ...text,
          ...raw,
        },
      },
      contextExtensions: { ...contextExtensions },
      metadataContext: { filterMetadata: Object.fromEntries(metadata) },
      ...(o.includeTlsSession ? { tlsSession: tlsSession(tls) } : {}),
    },
  }).finish();
}

/** Several lines of a name are one, pseudo headers are headers: as Envoy. */
function visibleHeaders(headers: HeaderMap, sees: StringPredicate): Record<string, string> {
  const { method, path, authority, scheme } = headers;
  const pseudo = { ':method': method, ':path': path, ':authority': authority, ':scheme': scheme };
  const fields = new Map<string, string>();
  for (const [name, value] of [...Object.entries(pseudo), ...headers]) {
    if (value === undefined || !sees(name)) continue;
    const before = fields.get(name);
    fields.set(name, before === undefined ? value : `${before},${value}`);
  }
  return Object.fromEntries(fields);
}

function addressOf(address: SocketAddress): envoy.config.core.v3.Address.$Properties {
  return address.kind === 'ip'
    ? { socketAddress: { address: address.ip, portValue: address.port } }
    : { envoyInternalAddress: { serverListenerName: address.listener, endpointId: address.endpointId } };
}

function principalOf(
  uris: readonly string[] = [],
  names: readonly string[] = [],
  subject: string | undefined,
): string {
  return uris[0] ?? names[0] ?? subject ?? '';
}

function tlsSession(tls: TlsInfo | undefined): envoy.service.auth.v3.AttributeContext.TLSSession.$Properties {
  return tls?.sni === undefined ? {} : { sni: tls.sni };
}
