import { ipBytes, ipFamily, type SocketAddress } from '../state/ip-address.ts';

/** What a PROXY protocol header tells the application of a tunnel. */
export interface ProxyHeader {
  readonly source: SocketAddress;
  readonly destination: SocketAddress;
  /** Proven by mTLS. */
  readonly sourceIdentity: string | undefined;
}

const SIGNATURE = Buffer.from('0d0a0d0a000d0a515549540a', 'hex');
const VERSION_2_PROXY = 0x21;
const TCP_OVER_IPV4 = 0x11;
const TCP_OVER_IPV6 = 0x21;
const UNSPECIFIED = 0x00;
const TLV_SOURCE_IDENTITY = 0xd0;

/** PROXY protocol, version 2 (HAProxy's proxy-protocol.txt §2.2), with the source's identity as ztunnel adds it. */
export function encodeProxyHeader({ source, destination, sourceIdentity }: ProxyHeader): Uint8Array {
  const family = ipFamily(source.ip);
  const isOneFamily = family === ipFamily(destination.ip);
  const ports = Buffer.alloc(4);
  ports.writeUInt16BE(source.port, 0);
  ports.writeUInt16BE(destination.port, 2);
  // The format has no place for two families: then the application learns the identity alone.
  const addresses = isOneFamily ? [ipBytes(source.ip), ipBytes(destination.ip), ports] : [];
  const payload = Buffer.concat([...addresses, ...identityTlv(sourceIdentity)]);
  const protocol = family === 4 ? TCP_OVER_IPV4 : TCP_OVER_IPV6;
  const prefix = Buffer.from([VERSION_2_PROXY, isOneFamily ? protocol : UNSPECIFIED, 0, 0]);
  prefix.writeUInt16BE(payload.length, 2);
  return Buffer.concat([SIGNATURE, prefix, payload]);
}

function identityTlv(identity: string | undefined): readonly Buffer[] {
  if (identity === undefined) return [];
  const value = Buffer.from(identity);
  const head = Buffer.from([TLV_SOURCE_IDENTITY, 0, 0]);
  head.writeUInt16BE(value.length, 1);
  return [head, value];
}
