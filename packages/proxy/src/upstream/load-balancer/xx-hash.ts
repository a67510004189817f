const MASK = 0xffff_ffff_ffff_ffffn;
const PRIME_1 = 0x9e3779b185ebca87n;
const PRIME_2 = 0xc2b2ae3d27d4eb4fn;
const PRIME_3 = 0x165667b19e3779f9n;
const PRIME_4 = 0x85ebca77c2b2ae63n;
const PRIME_5 = 0x27d4eb2f165667c5n;
const STRIPE_BYTES = 32;

/** XXH64, the hash of ring hash, Maglev and hash policies, so that keys land where they do with Envoy. */
export function xxHash64(input: string | Buffer, seed = 0n): bigint {
  const data = typeof input === 'string' ? Buffer.from(input) : input;
  let offset = 0;
  let hash: bigint;
  if (data.length >= STRIPE_BYTES) {
    let a = (seed + PRIME_1 + PRIME_2) & MASK;
    let b = (seed + PRIME_2) & MASK;
    let c = seed & MASK;
    let d = (seed - PRIME_1) & MASK;
    for (; offset + STRIPE_BYTES <= data.length; offset += STRIPE_BYTES) {
      a = round(a, data.readBigUInt64LE(offset));
      b = round(b, data.readBigUInt64LE(offset + 8));
      c = round(c, data.readBigUInt64LE(offset + 16));
      d = round(d, data.readBigUInt64LE(offset + 24));
    }
    hash = (rotateLeft(a, 1n) + rotateLeft(b, 7n) + rotateLeft(c, 12n) + rotateLeft(d, 18n)) & MASK;
    for (const lane of [a, b, c, d]) hash = ((hash ^ round(0n, lane)) * PRIME_1 + PRIME_4) & MASK;
  } else {
    hash = (seed + PRIME_5) & MASK;
  }
  hash = (hash + BigInt(data.length)) & MASK;
  for (; offset + 8 <= data.length; offset += 8) {
    hash = (rotateLeft(hash ^ round(0n, data.readBigUInt64LE(offset)), 27n) * PRIME_1 + PRIME_4) & MASK;
  }
  if (offset + 4 <= data.length) {
    const lane = (BigInt(data.readUInt32LE(offset)) * PRIME_1) & MASK;
    hash = (rotateLeft(hash ^ lane, 23n) * PRIME_2 + PRIME_3) & MASK;
    offset += 4;
  }
  for (; offset < data.length; offset++) {
    hash = (rotateLeft(hash ^ ((BigInt(data.readUInt8(offset)) * PRIME_5) & MASK), 11n) * PRIME_1) & MASK;
  }
  hash = ((hash ^ (hash >> 33n)) * PRIME_2) & MASK;
  hash = ((hash ^ (hash >> 29n)) * PRIME_3) & MASK;
  return hash ^ (hash >> 32n);
}

/** How hash policies combine: rotate left by one, then XOR. */
export function combineHash(previous: bigint | undefined, next: bigint): bigint {
  return previous === undefined ? next : rotateLeft(previous, 1n) ^ next;
}

function round(accumulator: bigint, lane: bigint): bigint {
  return (rotateLeft((accumulator + lane * PRIME_2) & MASK, 31n) * PRIME_1) & MASK;
}

function rotateLeft(value: bigint, bits: bigint): bigint {
  return ((value << bits) | (value >> (64n - bits))) & MASK;
}
