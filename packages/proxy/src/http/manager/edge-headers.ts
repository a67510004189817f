import { randomUUID } from 'node:crypto';
import type { HeaderMap, SocketAddress, StreamInfo, TlsInfo } from '../../engine/types.ts';
import { addressBytes } from '../../matching/index.ts';

export type ClientCertMode =
  | 'sanitize'
  | 'forward-only'
  | 'append-forward'
  | 'sanitize-set'
  | 'always-forward-only';

export interface EdgeOptions {
  readonly useRemoteAddress: boolean;
  readonly trustedHops: number;
  readonly skipXffAppend: boolean;
  readonly appendForwardedPort: boolean;
  /** Addresses that internal_address_config lists. */
  readonly isInternal: (ip: string) => boolean;
  readonly generateRequestId: boolean;
  readonly preserveExternalRequestId: boolean;
  readonly via: string;
  readonly userAgent: string | undefined;
  readonly clientCert: {
    readonly mode: ClientCertMode;
    readonly subject: boolean;
    readonly cert: boolean;
    readonly dns: boolean;
    readonly uri: boolean;
  };
}

const MAX_XFF_ENTRIES = 64;

const externalRequestHeaders = [
  'x-envoy-retry-on',
  'x-envoy-retry-grpc-on',
  'x-envoy-max-retries',
  'x-envoy-upstream-rq-timeout-ms',
  'x-envoy-upstream-rq-per-try-timeout-ms',
  'x-envoy-upstream-rq-timeout-alt-response',
  'x-envoy-hedge-on-per-try-timeout',
  'x-envoy-retriable-status-codes',
  'x-envoy-retriable-header-names',
  'x-envoy-expected-rq-timeout-ms',
  'x-envoy-is-timeout-retry',
  'x-envoy-internal',
  'x-envoy-force-trace',
  'x-envoy-ip-tags',
];
const edgeRequestHeaders = [
  'x-envoy-decorator-operation',
  'x-envoy-original-path',
  'x-envoy-downstream-service-cluster',
  'x-envoy-downstream-service-node',
];

/** Decides who the client is, and what of its x-forwarded-*, x-envoy-* and x-request-id headers may be believed. */
export function applyEdgeHeaders(headers: HeaderMap, info: StreamInfo, o: EdgeOptions): void {
  const peer = info.connection.remoteAddress;
  const entries = (headers.joined('x-forwarded-for') ?? '')
    .split(',', MAX_XFF_ENTRIES)
    .map((entry) => entry.trim())
    .filter((entry) => entry !== '');
  const secure = info.connection.tls !== undefined;
  let client = peer;
  if (o.useRemoteAddress) {
    if (o.trustedHops > 0) client = entryAddress(entries, o.trustedHops) ?? peer;
    // Only entries that trusted hops appended count, so the peer is added after the client was read.
    if (!o.skipXffAppend && peer.kind === 'ip') {
      const before = headers.joined('x-forwarded-for');
      headers.set(
        'x-forwarded-for',
        before === undefined || before === '' ? peer.ip : `${before},${peer.ip}`,
      );
    }
    if (o.trustedHops === 0 || !headers.has('x-forwarded-proto')) {
      headers.set('x-forwarded-proto', secure ? 'https' : 'http');
    }
    if (
      o.appendForwardedPort &&
      !headers.has('x-forwarded-port') &&
      info.connection.localAddress.kind === 'ip'
    ) {
      headers.set('x-forwarded-port', String(info.connection.localAddress.port));
    }
  } else client = entryAddress(entries, o.trustedHops + 1) ?? peer;
  if (!headers.has('x-forwarded-proto')) headers.set('x-forwarded-proto', secure ? 'https' : 'http');
  headers.scheme ??= secure ? 'https' : 'http';
  info.remoteAddress = client;

  const single = o.useRemoteAddress ? entries.length === 0 : entries.length === 1;
  const internal = single && client.kind === 'ip' && o.isInternal(client.ip);
  const edge = o.useRemoteAddress && !internal;
  if (internal) headers.set('x-envoy-internal', 'true');
  else for (const name of externalRequestHeaders) headers.delete(name);
  if (edge) {
    for (const name of edgeRequestHeaders) headers.delete(name);
    if (client.kind === 'ip') headers.set('x-envoy-external-address', client.ip);
  }
  applyRequestId(headers, info, o, edge);
  applyClientCert(headers, info.connection.tls, o.clientCert);
  if (o.userAgent !== undefined) {
    headers.set('x-envoy-downstream-service-cluster', o.userAgent);
    if (!headers.has('user-agent')) headers.set('user-agent', o.userAgent);
  }
  if (o.via !== '') {
    const before = headers.joined('via');
    headers.set('via', before === undefined ? o.via : `${before}, ${o.via}`);
  }
}

function applyRequestId(headers: HeaderMap, info: StreamInfo, o: EdgeOptions, edge: boolean): void {
  const sent = headers.get('x-request-id');
  const keep = sent !== undefined && sent !== '' && (!edge || o.preserveExternalRequestId);
  if (!keep) {
    if (o.generateRequestId) headers.set('x-request-id', randomUUID());
    else if (edge && !o.preserveExternalRequestId) headers.delete('x-request-id');
  }
  const id = headers.get('x-request-id');
  if (id !== undefined) info.requestId = id;
}

/** The n-th entry from the right. */
function entryAddress(entries: readonly string[], n: number): SocketAddress | undefined {
  const text = entries[entries.length - n];
  if (text === undefined) return undefined;
  const ip = /^\[.*\]$/.test(text) ? text.slice(1, -1) : text;
  return addressBytes(ip) === undefined ? undefined : { kind: 'ip', ip, port: 0 };
}

/** x-forwarded-client-cert. */
export function applyClientCert(
  headers: HeaderMap,
  tls: TlsInfo | undefined,
  o: EdgeOptions['clientCert'],
): void {
  const name = 'x-forwarded-client-cert';
  if (o.mode === 'always-forward-only') return;
  const mutual = tls !== undefined && tls.peerFingerprint !== undefined && tls.peerValidated;
  if (!mutual || o.mode === 'sanitize') {
    headers.delete(name);
    return;
  }
  if (o.mode === 'forward-only') return;
  const parts: string[] = [];
  const local = tls.localUriSans[0];
  if (local !== undefined) parts.push(`By=${local}`);
  parts.push(`Hash=${tls.peerFingerprint ?? ''}`);
  if (o.cert) parts.push(`Cert="${encodeURIComponent(tls.peerCertificatePem ?? '')}"`);
  if (o.subject) parts.push(`Subject="${(tls.subjectPeer ?? '').replaceAll('"', '\\"')}"`);
  if (o.uri) {
    if (tls.peerUriSans.length === 0) parts.push('URI=');
    for (const san of tls.peerUriSans) parts.push(`URI=${quoted(san)}`);
  }
  if (o.dns) for (const san of tls.peerDnsSans) parts.push(`DNS=${quoted(san)}`);
  const element = parts.join(';');
  if (o.mode === 'append-forward') appendList(headers, name, element);
  else headers.set(name, element);
}

/** Separators within a value would make it more than one. */
function quoted(value: string): string {
  return /[,;="]/.test(value) ? `"${value.replaceAll('"', '\\"')}"` : value;
}

function appendList(headers: HeaderMap, name: string, value: string): void {
  const before = headers.joined(name);
  headers.set(name, before === undefined || before === '' ? value : `${before},${value}`);
}

/** A stream's name in logs and hashes. */
export function newStreamId(): string {
  return randomUUID();
}
