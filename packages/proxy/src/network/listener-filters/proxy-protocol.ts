import { canonicalIp, parseSocketAddress } from '../socket-address.ts';
import type { SocketAddress } from '../../engine/types.ts';
import { needMore, proceed, type InspectionVerdict, type ListenerFilter } from './listener-filter.ts';

const V2_SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const V1_PREFIX = Buffer.from('PROXY ', 'latin1');
/** The specification's longest version 1 line, CRLF included. */
const MAX_V1_BYTES = 107;

type Header =
  | {
      readonly kind: 'header';
      readonly bytes: number;
      readonly source?: SocketAddress;
      readonly destination?: SocketAddress;
    }
  | { readonly kind: 'incomplete' }
  | { readonly kind: 'absent' }
  | { readonly kind: 'invalid'; readonly reason: string };

/** HAProxy's PROXY protocol, versions 1 and 2: the load balancer in front tells the client's address. */
export function proxyProtocol(allowRequestsWithout: boolean): ListenerFilter {
  return {
    name: 'envoy.filters.listener.proxy_protocol',
    inspect: ({ connection: { info }, bytes, final }): InspectionVerdict => {
      const header = readProxyHeader(bytes);
      switch (header.kind) {
        case 'incomplete':
          if (!final) return needMore;
          return allowRequestsWithout ? proceed : { kind: 'reject', reason: 'truncated PROXY header' };
        case 'absent':
          return allowRequestsWithout ? proceed : { kind: 'reject', reason: 'no PROXY header' };
        case 'invalid':
          return { kind: 'reject', reason: header.reason };
        case 'header':
          if (header.source !== undefined) info.remoteAddress = header.source;
          if (header.destination !== undefined) {
            info.localAddress = header.destination;
            info.localAddressRestored = true;
          }
          return { kind: 'continue', consumedBytes: header.bytes };
      }
    },
  };
}

export function readProxyHeader(bytes: Buffer): Header {
  if (startsLike(bytes, V2_SIGNATURE)) return bytes.length < 16 ? { kind: 'incomplete' } : readV2(bytes);
  if (startsLike(bytes, V1_PREFIX)) return readV1(bytes);
  return { kind: 'absent' };
}

function startsLike(bytes: Buffer, signature: Buffer): boolean {
  const length = Math.min(bytes.length, signature.length);
  return bytes.subarray(0, length).equals(signature.subarray(0, length));
}

function readV1(bytes: Buffer): Header {
  const end = bytes.subarray(0, MAX_V1_BYTES).indexOf('\r\n');
  if (end < 0) {
    if (bytes.length < MAX_V1_BYTES) return { kind: 'incomplete' };
    return { kind: 'invalid', reason: 'PROXY line too long' };
  }
  const length = end + 2;
  const [, family, source, destination, sourcePort, destinationPort] = bytes
    .toString('latin1', 0, end)
    .split(' ');
  if (family === 'UNKNOWN') return { kind: 'header', bytes: length };
  const from = endpoint(source, sourcePort);
  const to = endpoint(destination, destinationPort);
  if ((family !== 'TCP4' && family !== 'TCP6') || from === undefined || to === undefined) {
    return { kind: 'invalid', reason: 'malformed PROXY line' };
  }
  return { kind: 'header', bytes: length, source: from, destination: to };
}

function endpoint(ip = '', port = ''): SocketAddress | undefined {
  return parseSocketAddress(ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`);
}

function readV2(bytes: Buffer): Header {
  const version = bytes.readUInt8(12);
  const family = bytes.readUInt8(13) >> 4;
  const length = 16 + bytes.readUInt16BE(14);
  if (version !== 0x20 && version !== 0x21) {
    return { kind: 'invalid', reason: `unknown PROXY version or command ${version}` };
  }
  if (bytes.length < length) return { kind: 'incomplete' };
  // LOCAL (the proxy's own health check), and families without addresses that we know: the socket's addresses stay.
  if (version === 0x20 || family === 0 || family === 3) return { kind: 'header', bytes: length };
  const size = family === 1 ? 4 : 16;
  if (length < 16 + 2 * size + 4) return { kind: 'invalid', reason: 'PROXY addresses truncated' };
  const at = (offset: number): string => ipText(bytes.subarray(offset, offset + size));
  const ports = 16 + 2 * size;
  return {
    kind: 'header',
    bytes: length,
    source: { kind: 'ip', ip: at(16), port: bytes.readUInt16BE(ports) },
    destination: { kind: 'ip', ip: at(16 + size), port: bytes.readUInt16BE(ports + 2) },
  };
}

function ipText(bytes: Buffer): string {
  if (bytes.length === 4) return [...bytes].join('.');
  const groups: string[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(bytes.readUInt16BE(i).toString(16));
  return canonicalIp(groups.join(':'));
}
