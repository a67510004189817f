import ipaddr from 'ipaddr.js';

/** 4 or 16 bytes; undefined for what isn't an address. IPv4 must have four decimal parts. */
export function addressBytes(text: string): Uint8Array | undefined {
  const address = parse(text);
  return address === undefined ? undefined : Uint8Array.from(address.toByteArray());
}

/** `10.0.0.0/8`, or one address with its full length. Bits beyond the length are cleared. */
export function parseCidr(
  text: string,
): { readonly address: Uint8Array; readonly length: number } | undefined {
  const [host = '', prefix, ...rest] = text.split('/');
  const address = addressBytes(host);
  if (address === undefined || rest.length > 0) return undefined;
  const bits = address.length * 8;
  if (prefix === undefined) return { address, length: bits };
  const length = /^\d{1,3}$/.test(prefix) ? Number(prefix) : Number.NaN;
  if (!(length <= bits)) return undefined;
  for (let i = 0; i < address.length; i++) {
    const kept = Math.min(Math.max(length - i * 8, 0), 8);
    address[i] = (address[i] ?? 0) & (0xff << (8 - kept));
  }
  return { address, length };
}

export function formatAddress(bytes: Uint8Array): string {
  return ipaddr.fromByteArray([...bytes]).toString();
}

function parse(text: string): ipaddr.IPv4 | ipaddr.IPv6 | undefined {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  // A zone names an interface of one machine; nobody else can use it.
  if (text.includes('%') || !ipaddr.IPv6.isValid(text)) return undefined;
  return ipaddr.IPv6.parse(text);
}
