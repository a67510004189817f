/** One value of a DER encoding, over the bytes it was read from. */
export interface DerValue {
  readonly tag: number;
  readonly content: Buffer;
  /** With its tag and length. */
  readonly encoded: Buffer;
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  objectId: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  context0: 0xa0,
} as const;

/**
 * The values that follow each other in these bytes, one at a time and without copies: a revocation list may have a
 * hundred thousand entries, for each of which node-forge would make a tree. Throws on anything that isn't DER.
 */
export function* derValues(bytes: Buffer): Generator<DerValue, undefined> {
  let at = 0;
  while (at < bytes.length) {
    const tag = bytes[at] ?? 0;
    const first = bytes[at + 1];
    if ((tag & 0x1f) === 0x1f || first === undefined) throw new Error(`no DER value at byte ${at}`);
    const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
    // 0x80 is BER's indefinite length; more than four bytes is no length of a file that fits into memory.
    if (first === 0x80 || lengthBytes > 4) throw new Error(`no DER length at byte ${at + 1}`);
    const start = at + 2 + lengthBytes;
    if (start > bytes.length) throw new Error(`the value at byte ${at} is cut off`);
    const length = lengthBytes === 0 ? first : bytes.readUIntBE(at + 2, lengthBytes);
    const end = start + length;
    if (end > bytes.length) throw new Error(`the value at byte ${at} is cut off`);
    yield { tag, content: bytes.subarray(start, end), encoded: bytes.subarray(at, end) };
    at = end;
  }
}

/** The members of a constructed value that must have this tag. */
export function derMembers(value: DerValue | undefined, tag: number): Generator<DerValue, undefined> {
  if (value?.tag !== tag) throw new Error(`expected tag ${tag}, found ${value?.tag ?? 'nothing'}`);
  return derValues(value.content);
}
