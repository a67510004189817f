import type { Clock } from '@weft/telemetry';
import { readResponse } from './message-reader.ts';
import { Opcode, ResponseCode } from './protocol.ts';

export type DnsTransport = 'udp' | 'tcp';

/** Of one pod. Pods share none: each could forge an upstream's answer within its own namespace. */
export const MAX_CACHED_RESPONSES = 512;
export const MAX_CACHED_BYTES = 128 * 1024;
const MAX_CACHED_RESPONSE_BYTES = 4 * 1024;
const MAX_TTL_SECONDS = 24 * 3600;

interface Entry {
  readonly response: Buffer;
  readonly ttlOffsets: readonly number[];
  readonly storedAt: number;
  readonly ttlSeconds: number;
}

/** Upstream responses by the whole request but its id: whatever a client's options ask for is part of the key. */
export class ResponseCache {
  private readonly clock: Clock;
  /** Longest unused first. */
  private readonly entries = new Map<string, Entry>();
  private bytes = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The cached response with the request's id, its lifetimes less by the time that it lay here. */
  get(request: Buffer, transport: DnsTransport): Buffer | undefined {
    const key = keyOf(request, transport);
    const entry = this.entries.get(key);
    if (entry === undefined) return undefined;
    const ageSeconds = Math.floor((this.clock.now() - entry.storedAt) / 1000);
    this.delete(key, entry);
    if (ageSeconds >= entry.ttlSeconds) return undefined;
    this.set(key, entry);
    const response = Buffer.from(entry.response);
    request.copy(response, 0, 0, 2);
    for (const offset of entry.ttlOffsets)
      response.writeUInt32BE(Math.max(0, response.readUInt32BE(offset) - ageSeconds), offset);
    return response;
  }

  put(request: Buffer, transport: DnsTransport, response: Buffer): void {
    if (((request.readUInt16BE(2) >> 11) & 0xf) !== Opcode.query) return;
    if (response.length > MAX_CACHED_RESPONSE_BYTES) return;
    const summary = readResponse(response);
    if (summary === undefined || summary.isTruncated) return;
    if (summary.code !== ResponseCode.noError && summary.code !== ResponseCode.nameError) return;
    const ttlSeconds = Math.min(summary.ttlSeconds ?? 0, MAX_TTL_SECONDS);
    if (ttlSeconds <= 0) return;
    const key = keyOf(request, transport);
    const old = this.entries.get(key);
    if (old !== undefined) this.delete(key, old);
    // A copy: the response may be a part of a larger buffer.
    this.set(key, {
      response: Buffer.from(response),
      ttlOffsets: summary.ttlOffsets,
      storedAt: this.clock.now(),
      ttlSeconds,
    });
    for (const [oldest, entry] of this.entries) {
      if (this.entries.size <= MAX_CACHED_RESPONSES && this.bytes <= MAX_CACHED_BYTES) break;
      this.delete(oldest, entry);
    }
  }

  get size(): number {
    return this.entries.size;
  }

  private set(key: string, entry: Entry): void {
    this.entries.set(key, entry);
    this.bytes += key.length + entry.response.length;
  }

  private delete(key: string, entry: Entry): void {
    this.entries.delete(key);
    this.bytes -= key.length + entry.response.length;
  }
}

/** UDP and TCP apart: a response by TCP may be larger than a datagram's receiver can take. */
function keyOf(request: Buffer, transport: DnsTransport): string {
  return transport + request.toString('latin1', 2);
}
