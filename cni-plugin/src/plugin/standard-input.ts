import type { Readable } from 'node:stream';
import { CniCode, CniFailure } from './cni-protocol.ts';

/** A configuration with its result has a few kilobytes. */
export const MAX_INPUT_BYTES = 1024 * 1024;

/** Everything that the runtime writes. Throws code 5 when that doesn't end in time, 6 when it is too much. */
export async function readInput(input: Readable, signal: AbortSignal): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  const giveUp = (): void => void input.destroy(new Error('the runtime does not end its input'));
  signal.addEventListener('abort', giveUp);
  try {
    for await (const chunk of input) {
      const bytes = chunk as Buffer; // process.stdin yields Buffers unless setEncoding was called
      size += bytes.length;
      if (size > MAX_INPUT_BYTES)
        throw new CniFailure(CniCode.decodingFailure, `standard input: over ${MAX_INPUT_BYTES} bytes`);
      chunks.push(bytes);
    }
  } catch (error) {
    if (error instanceof CniFailure) throw error;
    throw new CniFailure(CniCode.ioFailure, 'standard input', { cause: error });
  } finally {
    signal.removeEventListener('abort', giveUp);
  }
  return Buffer.concat(chunks).toString('utf8');
}
