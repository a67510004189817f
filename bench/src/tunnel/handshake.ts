import { inNetworkNamespace, PacketCapture, parseTcpSegment, type NetworkNamespace } from '@weft/linux';

export interface Handshake {
  readonly version: string;
  readonly cipher: string;
  readonly group: string;
}

const TLS_HANDSHAKE = 22;
const SERVER_HELLO = 2;
const KEY_SHARE = 51;
const SUPPORTED_VERSIONS = 43;
const VERSIONS: Readonly<Record<number, string>> = { 0x0303: 'TLS 1.2', 0x0304: 'TLS 1.3' };
const CIPHERS: Readonly<Record<number, string>> = {
  0x1301: 'AES-128-GCM',
  0x1302: 'AES-256-GCM',
  0x1303: 'ChaCha20-Poly1305',
};
const GROUPS: Readonly<Record<number, string>> = {
  0x0017: 'P-256',
  0x0018: 'P-384',
  0x001d: 'X25519',
  0x0202: 'MLKEM1024',
  0x11ec: 'X25519MLKEM768',
};

/** What the last handshake on a pod's interface agreed on while `act` ran; undefined if there was none. */
export async function observeHandshake(
  pod: NetworkNamespace,
  act: () => Promise<void>,
): Promise<Handshake | undefined> {
  let seen: Handshake | undefined;
  const capture = inNetworkNamespace(pod, () =>
    PacketCapture.open('eth0', (frame) => {
      seen = parseServerHello(parseTcpSegment(frame)?.payload ?? Buffer.alloc(0)) ?? seen;
    }),
  );
  try {
    await act();
  } finally {
    capture.close();
  }
  return seen;
}

/** RFC 8446, section 4.1.3: a segment that begins with a ServerHello record. */
export function parseServerHello(bytes: Buffer): Handshake | undefined {
  if (bytes.length < 48 || bytes[0] !== TLS_HANDSHAKE || bytes[5] !== SERVER_HELLO) return undefined;
  // Record header 5, message header 4, version 2, random 32, session.
  let at = 5 + 4 + 2 + 32;
  at += 1 + (bytes[at] ?? 0);
  if (at + 5 > bytes.length) return undefined;
  const cipher = bytes.readUInt16BE(at);
  let version = bytes.readUInt16BE(9);
  let group = 0;
  at += 2 + 1;
  const end = Math.min(bytes.length, at + 2 + bytes.readUInt16BE(at));
  at += 2;
  while (at + 6 <= end) {
    const kind = bytes.readUInt16BE(at);
    if (kind === SUPPORTED_VERSIONS) version = bytes.readUInt16BE(at + 4);
    if (kind === KEY_SHARE) group = bytes.readUInt16BE(at + 4);
    at += 4 + bytes.readUInt16BE(at + 2);
  }
  const name = (names: Readonly<Record<number, string>>, code: number): string =>
    names[code] ?? `0x${code.toString(16).padStart(4, '0')}`;
  return { version: name(VERSIONS, version), cipher: name(CIPHERS, cipher), group: name(GROUPS, group) };
}
