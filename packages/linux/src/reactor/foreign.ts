import koffi from 'koffi';

/**
 * Addresses are plain numbers here, `size_t` for C: a call with numbers costs 40 ns, one with Buffers or BigInts two to
 * three times as much. User space ends below 2^47, so a number holds every address.
 */
export type Address = number;

/** Binds functions of this program, which is linked to libc and contains OpenSSL. @throws for a missing symbol */
export function bindSelf<T extends Readonly<Record<string, string>>>(
  definitions: T,
): { readonly [K in keyof T]: (...args: readonly (number | string | null)[]) => number } {
  const self = koffi.load(null);
  const bound = Object.entries(definitions).map(([name, definition]) => [name, self.func(definition)]);
  return Object.fromEntries(bound) as never; // one function each, by construction
}

/** Memory that C may use: outside of the JavaScript heap, where nothing moves it. Lives as long as the object. */
export class ForeignBuffer {
  readonly bytes: Buffer;
  readonly address: Address;

  constructor(size: number) {
    this.bytes = Buffer.allocUnsafeSlow(size);
    this.address = size === 0 ? 0 : addressOfBuffer(this.bytes);
  }
}

/** Where the bytes of a Buffer of `allocUnsafeSlow` are, as long as it lives. */
export function addressOfBuffer(bytes: Buffer): Address {
  return Number(koffi.address(bytes));
}

/** errno of the call just made: look at it in the very next expression. */
export function lastErrno(): number {
  return koffi.errno();
}
