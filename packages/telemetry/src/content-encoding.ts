import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

type Encode = (bytes: Uint8Array) => Promise<Uint8Array>;

// Node has Zstandard from 22.15 on; the types are those of the oldest supported version.
const { zstdCompress } = zlib as { readonly zstdCompress?: typeof zlib.gzip };

/** In the order of preference where the client likes several as much. */
const encoders: ReadonlyMap<string, Encode> = new Map([
  ...(zstdCompress === undefined ? [] : [['zstd', promisify<Uint8Array, Buffer>(zstdCompress)] as const]),
  ['gzip', promisify<Uint8Array, Buffer>(zlib.gzip)],
]);

/** Smaller bodies don't get smaller by it. */
const MIN_BYTES = 1_024;

export interface EncodedBody {
  readonly bytes: Uint8Array;
  /** For `content-encoding`; undefined if the bytes are as they were. */
  readonly encoding: string | undefined;
}

/** Compresses a body as the client's Accept-Encoding allows (RFC 9110 §12.5.3). */
export async function encodeBody(
  body: string | Uint8Array,
  acceptEncoding: string | readonly string[] | undefined,
): Promise<EncodedBody> {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body;
  const chosen = bytes.length < MIN_BYTES ? undefined : chooseEncoding(String(acceptEncoding ?? ''));
  const encode = chosen === undefined ? undefined : encoders.get(chosen);
  if (encode === undefined) return { bytes, encoding: undefined };
  return { bytes: await encode(bytes), encoding: chosen };
}

/** The encoding that the client likes best of those there are; undefined for none. */
export function chooseEncoding(
  acceptEncoding: string,
  available: Iterable<string> = encoders.keys(),
): string | undefined {
  const weights = new Map<string, number>();
  for (const member of acceptEncoding.toLowerCase().split(',')) {
    const [name = '', ...parameters] = member.split(';').map((part) => part.trim());
    const weight = parameters.find((p) => p.startsWith('q='))?.slice(2);
    if (name !== '') weights.set(name, weight === undefined ? 1 : Number(weight) || 0);
  }
  let best: string | undefined;
  let bestWeight = 0;
  for (const name of available) {
    const weight = weights.get(name) ?? weights.get('*') ?? 0;
    if (weight > bestWeight) [best, bestWeight] = [name, weight];
  }
  return bestWeight < (weights.get('identity') ?? 0) ? undefined : best;
}
