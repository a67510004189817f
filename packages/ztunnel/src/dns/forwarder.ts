import { describeError, WeftError, type Clock } from '@weft/telemetry';
import { isResponseTo, readResponse } from './message-reader.ts';
import { ResponseCode } from './protocol.ts';
import { ResponseCache, type DnsTransport } from './response-cache.ts';
import { formatSocketAddress, type SocketAddress } from '../state/ip-address.ts';

/** Sends a request to a server and gives what comes back; rejects when nothing can. */
export type Exchange = (
  server: SocketAddress,
  request: Buffer,
  transport: DnsTransport,
  signal: AbortSignal,
) => Promise<Buffer>;

/** Queries of all pods that wait for an upstream; each holds a socket. */
export const MAX_FORWARDED_QUERIES = 4_096;
/** After this the next server is asked as well, while the first may still answer. */
export const ATTEMPT_MS = 2_000;
export const MAX_ATTEMPTS = 3;
/** As long as resolvers of applications wait before they ask again. */
export const FORWARD_DEADLINE_MS = 5_000;

/** How many queries are on their way, over all pods. */
export interface ForwardBudget {
  inFlight: number;
}

export interface ForwarderOptions {
  readonly nameservers: readonly SocketAddress[];
  readonly exchange: Exchange;
  readonly budget: ForwardBudget;
  readonly clock: Clock;
}

/** Told of each query that is really sent: how long it took, and whether it failed. */
export type OnUpstream = (seconds: number, failed: boolean) => void;

/** One pod's way to the resolvers outside, unread but for what the cache needs. */
export class Forwarder {
  private readonly options: ForwarderOptions;
  private readonly cache: ResponseCache;
  private readonly closing = new AbortController();

  constructor(options: ForwarderOptions) {
    this.options = options;
    this.cache = new ResponseCache(options.clock);
  }

  /** The upstream's response, whatever its code. @throws WEFT1350, WEFT1351 */
  async forward(request: Buffer, transport: DnsTransport, onUpstream: OnUpstream): Promise<Buffer> {
    const cached = this.cache.get(request, transport);
    if (cached !== undefined) return cached;
    const { budget, clock } = this.options;
    if (budget.inFlight >= MAX_FORWARDED_QUERIES)
      throw new WeftError('WEFT1351', `${budget.inFlight} queries wait for an upstream`);
    budget.inFlight++;
    const startedAt = clock.now();
    let failed = true;
    try {
      const response = await this.ask(request, transport);
      failed = isFailure(response);
      this.cache.put(request, transport, response);
      return response;
    } finally {
      budget.inFlight--;
      onUpstream((clock.now() - startedAt) / 1000, failed);
    }
  }

  close(): void {
    this.closing.abort();
  }

  /** The servers one after the other, each as soon as the one before failed or is slow; the first good answer counts. */
  private ask(request: Buffer, transport: DnsTransport): Promise<Buffer> {
    const { nameservers, exchange, clock } = this.options;
    const attempts = nameservers.length === 0 ? [] : attemptsOver(nameservers);
    const end = new AbortController();
    const signal = AbortSignal.any([end.signal, this.closing.signal]);
    return new Promise<Buffer>((resolve, reject) => {
      let next = 0;
      let running = 0;
      let best: Buffer | undefined;
      let why = 'no nameserver in resolv.conf';
      let cancelAttempt = (): void => undefined;
      const settle = (): void => {
        cancelAttempt();
        cancelDeadline();
        end.abort();
        if (best !== undefined) resolve(best);
        else reject(new WeftError('WEFT1350', why));
      };
      const launch = (): void => {
        cancelAttempt();
        const server = attempts[next++];
        if (server === undefined || signal.aborted) {
          if (running === 0) settle();
          return;
        }
        running++;
        cancelAttempt = clock.schedule(ATTEMPT_MS, launch);
        exchange(server, request, transport, signal)
          .then((response) => {
            if (!isResponseTo(response, request)) throw new Error('the response is to something else');
            if (!isFailure(response)) {
              best = response;
              return settle();
            }
            best ??= response;
          })
          .catch((error: unknown) => (why = `${formatSocketAddress(server)}: ${describeError(error)}`))
          .finally(() => {
            running--;
            if (!end.signal.aborted) launch();
          });
      };
      const cancelDeadline = clock.schedule(FORWARD_DEADLINE_MS, () => {
        why = `no answer within ${FORWARD_DEADLINE_MS / 1000} s`;
        settle();
      });
      launch();
    });
  }
}

/** Every server once, or a single one twice: datagrams get lost. */
function attemptsOver(nameservers: readonly SocketAddress[]): readonly SocketAddress[] {
  const [only] = nameservers;
  return nameservers.length === 1 && only !== undefined ? [only, only] : nameservers.slice(0, MAX_ATTEMPTS);
}

/** A response that another server may do better than. */
function isFailure(response: Buffer): boolean {
  const code = readResponse(response)?.code;
  return code === ResponseCode.serverFailure || code === ResponseCode.refused;
}
