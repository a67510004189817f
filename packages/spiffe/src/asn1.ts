import type forge from 'node-forge';
// Not all of node-forge: its other forty files would be 1.5 MB of heap in every process.
import asn1 from 'node-forge/lib/asn1.js';

/** DER by node-forge, with Buffers at the border instead of its binary strings. */
export type Asn1 = forge.asn1.Asn1;

// @types/node-forge knows only the older form of the second parameter, a boolean.
const fromDer = asn1.fromDer as unknown as (
  bytes: string,
  options: { readonly strict: boolean; readonly decodeBitStrings: boolean; readonly parseAllBytes: boolean },
) => Asn1;
const { Class, Type } = asn1;

export const sequence = (...parts: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SEQUENCE, true, parts);
export const set = (...parts: Asn1[]): Asn1 => asn1.create(Class.UNIVERSAL, Type.SET, true, parts);
export const objectId = (dotted: string): Asn1 => primitive(Type.OID, asn1.oidToDer(dotted).getBytes());
export const nullValue = (): Asn1 => primitive(Type.NULL, '');
export const boolean = (value: boolean): Asn1 => primitive(Type.BOOLEAN, value ? '\xff' : '\x00');
export const octetString = (bytes: Buffer): Asn1 => primitive(Type.OCTETSTRING, bytes.toString('latin1'));
export const utf8String = (text: string): Asn1 => primitive(Type.UTF8, Buffer.from(text).toString('latin1'));

/** A non-negative INTEGER from its big-endian bytes, in the shortest form (X.690 §8.3.2). */
export function integer(bytes: Uint8Array): Asn1 {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const shortest = Buffer.from(bytes.subarray(start));
  const signed = (shortest[0] ?? 0) & 0x80 ? Buffer.concat([Buffer.of(0), shortest]) : shortest;
  return primitive(Type.INTEGER, signed.toString('latin1'));
}

export function bitString(bytes: Buffer, unusedBits = 0): Asn1 {
  return primitive(Type.BITSTRING, String.fromCharCode(unusedBits) + bytes.toString('latin1'));
}

/** `[tag]` around other values. */
export const explicit = (tag: number, ...parts: Asn1[]): Asn1 =>
  asn1.create(Class.CONTEXT_SPECIFIC, tag, true, parts);

/** `[tag]` in place of a primitive value's own tag. */
export const implicit = (tag: number, bytes: Buffer): Asn1 =>
  asn1.create(Class.CONTEXT_SPECIFIC, tag, false, bytes.toString('latin1'));

/** UTCTime until 2049, GeneralizedTime after (RFC 5280 §4.1.2.5). */
export function time(date: Date): Asn1 {
  const generalized = date.toISOString().replace(/[-:T]|\.\d+/g, '');
  return date.getUTCFullYear() < 2050
    ? primitive(Type.UTCTIME, generalized.slice(2))
    : primitive(Type.GENERALIZEDTIME, generalized);
}

export function encode(value: Asn1): Buffer {
  return Buffer.from(asn1.toDer(value).getBytes(), 'latin1');
}

/**
 * Strict DER: what is read encodes to the same bytes again, so any part of it can be re-encoded where its original
 * bytes are needed (a signature's input, a name). Throws on anything else.
 */
export function decode(der: Buffer): Asn1 {
  const value = fromDer(der.toString('latin1'), {
    strict: true,
    decodeBitStrings: false,
    parseAllBytes: true,
  });
  if (!encode(value).equals(der)) throw new Error('not in DER');
  return value;
}

/** The members of a SEQUENCE; throws for anything else. */
export function members(value: Asn1 | undefined): readonly Asn1[] {
  if (!isUniversal(value, Type.SEQUENCE)) throw new Error('expected a SEQUENCE');
  return parts(value);
}

/** What stands inside an explicit `[tag]`, the tag itself having been recognised by the caller. */
export function tagged(value: Asn1): Asn1 | undefined {
  return parts(value)[0];
}

export function isContextTag(value: Asn1, tag: number): boolean {
  return value.tagClass === Class.CONTEXT_SPECIFIC && Number(value.type) === tag;
}

function parts(value: Asn1): readonly Asn1[] {
  if (!Array.isArray(value.value)) throw new Error('expected a constructed value');
  return value.value;
}

/** The content bytes of a primitive value; throws when it is constructed. */
export function content(value: Asn1 | undefined): Buffer {
  if (value === undefined || typeof value.value !== 'string') throw new Error('expected a primitive value');
  return Buffer.from(value.value, 'latin1');
}

export function bitStringBytes(value: Asn1 | undefined): Buffer {
  if (!isUniversal(value, Type.BITSTRING)) throw new Error('expected a BIT STRING');
  const bytes = content(value);
  if (bytes[0] !== 0) throw new Error('expected a BIT STRING of whole bytes');
  return bytes.subarray(1);
}

export function oidOf(value: Asn1 | undefined): string {
  if (!isUniversal(value, Type.OID)) throw new Error('expected an OBJECT IDENTIFIER');
  return asn1.derToOid(content(value).toString('latin1'));
}

/** The class counts as well: `[PRIVATE 3]` is no BIT STRING although its number is. */
function isUniversal(value: Asn1 | undefined, type: forge.asn1.Type): value is Asn1 {
  return value?.tagClass === Class.UNIVERSAL && value.type === type;
}

function primitive(type: forge.asn1.Type, value: string): Asn1 {
  return asn1.create(Class.UNIVERSAL, type, false, value);
}
