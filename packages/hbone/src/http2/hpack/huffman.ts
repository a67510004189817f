import { ErrorCode } from '../constants.ts';
import { Http2ConnectionError } from '../protocol-error.ts';

/**
 * The code of RFC 7541 Appendix B. It is canonical (within one length, codes ascend with the symbol), so the
 * lengths alone define it: `[bits, symbols]`, symbols as text or as numbers. 256 is EOS.
 */
const symbolsByLength: readonly (readonly [bits: number, symbols: string | readonly number[]])[] = [
  [5, '012aceiost'],
  [6, ' %-./3456789=A_bdfghlmnpru'],
  [7, ':BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz'],
  [8, '&*,;XZ'],
  [10, '!"()?'],
  [11, "'+|"],
  [12, '#>'],
  [13, '\0$@[]~'],
  [14, '^}'],
  [15, '<`{'],
  [19, [92, 195, 208]],
  [20, [128, 130, 131, 162, 184, 194, 224, 226]],
  [21, [153, 161, 167, 172, 176, 177, 179, 209, 216, 217, 227, 229, 230]],
  // biome-ignore format: one row a length
  [22, [129, 132, 133, 134, 136, 146, 154, 156, 160, 163, 164, 169, 170, 173, 178, 181, 185, 186, 187, 189, 190, 196, 198, 228, 232, 233]],
  // biome-ignore format: one row a length
  [23, [1, 135, 137, 138, 139, 140, 141, 143, 147, 149, 150, 151, 152, 155, 157, 158, 165, 166, 168, 174, 175, 180, 182, 183, 188, 191, 197, 231, 239]],
  [24, [9, 142, 144, 145, 148, 159, 171, 206, 215, 225, 236, 237]],
  [25, [199, 207, 234, 235]],
  [26, [192, 193, 200, 201, 202, 205, 210, 213, 218, 219, 238, 240, 242, 243, 255]],
  [27, [203, 204, 211, 212, 214, 221, 222, 223, 241, 244, 245, 246, 247, 248, 250, 251, 252, 253, 254]],
  // biome-ignore format: one row a length
  [28, [2, 3, 4, 5, 6, 7, 8, 11, 12, 14, 15, 16, 17, 18, 19, 20, 21, 23, 24, 25, 26, 27, 28, 29, 30, 31, 127, 220, 249]],
  [30, [10, 13, 22, 256]],
];

const EOS = 256;

interface HuffmanCode {
  readonly codes: Uint32Array;
  readonly bits: Uint8Array;
  /**
   * Binary tree, two entries a node: a positive value is the next node, a negative one is `~symbol`, 0 is no code.
   * Decoding walks bit by bit; header blocks of a tunnel are a few hundred bytes per connection.
   */
  readonly tree: Int16Array;
}

function buildCode(): HuffmanCode {
  const codes = new Uint32Array(257);
  const bits = new Uint8Array(257);
  const tree = new Int16Array(2 * 256);
  let nodes = 1;
  let code = 0;
  let length = 5;
  for (const [symbolBits, text] of symbolsByLength) {
    code *= 2 ** (symbolBits - length);
    length = symbolBits;
    const symbols = typeof text === 'string' ? [...Buffer.from(text, 'latin1')] : text;
    for (const symbol of symbols) {
      codes[symbol] = code;
      bits[symbol] = length;
      let node = 0;
      for (let bit = length - 1; bit > 0; bit--) {
        const slot = 2 * node + ((code >>> bit) & 1);
        const next = tree[slot] ?? 0;
        node = next === 0 ? (tree[slot] = nodes++) : next;
      }
      tree[2 * node + (code & 1)] = ~symbol;
      code++;
    }
  }
  return { codes, bits, tree };
}

const { codes, bits, tree } = buildCode();

/** Octets that `text` (latin1) takes when coded. */
export function huffmanLength(text: string): number {
  let total = 0;
  for (let i = 0; i < text.length; i++) total += bits[text.charCodeAt(i) & 0xff] ?? 0;
  return (total + 7) >>> 3;
}

/** Writes `text` at `offset`, padded with ones, and returns the offset behind it. */
export function huffmanEncode(text: string, target: Buffer, offset: number): number {
  // At most 7 bits stay pending, and a code has up to 30: split it so that 32-bit arithmetic suffices.
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const code = codes[symbol] ?? 0;
    let left = bits[symbol] ?? 0;
    while (left > 0) {
      const take = Math.min(left, 24 - pendingBits);
      pending = (pending << take) | ((code >>> (left - take)) & ((1 << take) - 1));
      pendingBits += take;
      left -= take;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        target[offset++] = (pending >>> pendingBits) & 0xff;
      }
      pending &= (1 << pendingBits) - 1;
    }
  }
  if (pendingBits > 0) target[offset++] = ((pending << (8 - pendingBits)) | (0xff >>> pendingBits)) & 0xff;
  return offset;
}

/** Decodes `source[start, end)` to latin1. @throws COMPRESSION_ERROR for EOS inside, or padding that isn't < 8 ones. */
export function huffmanDecode(source: Buffer, start: number, end: number): string {
  // The shortest code has 5 bits.
  const out = Buffer.allocUnsafe((((end - start) * 8) / 5) | 0);
  let length = 0;
  let node = 0;
  let depth = 0;
  let onlyOnes = true;
  for (let at = start; at < end; at++) {
    const octet = source[at] ?? 0;
    for (let bit = 7; bit >= 0; bit--) {
      const one = (octet >>> bit) & 1;
      const next = tree[2 * node + one] ?? 0;
      if (next < 0) {
        if (~next === EOS)
          throw new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, 'EOS in a Huffman string');
        out[length++] = ~next;
        node = 0;
        depth = 0;
        onlyOnes = true;
      } else {
        node = next;
        depth++;
        onlyOnes &&= one === 1;
      }
    }
  }
  if (depth > 7 || !onlyOnes)
    throw new Http2ConnectionError(ErrorCode.COMPRESSION_ERROR, 'bad Huffman padding');
  return out.toString('latin1', 0, length);
}
