import type { ChangeSet, Collection, Graph, SourceCollection } from '@weft/collections';
import { Backoff, type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { type PolicyObject, type RequestAuthenticationSpec, keySetUri } from '../sources/policy-objects.ts';
import { parseGatewayDuration } from '../networking/gateway-duration.ts';
import { usableKeySet } from './key-set.ts';

export interface KeySetFetcherOptions {
  readonly graph: Graph;
  readonly authentications: Collection<PolicyObject<RequestAuthenticationSpec>>;
  readonly keySets: Pick<SourceCollection<string>, 'set' | 'delete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly fetch?: typeof fetch;
}

export const REFRESH_MS = 20 * 60_000;
const DEFAULT_TIMEOUT_MS = 5_000;
/** Whatever a rule says. */
export const MAX_TIMEOUT_MS = 60_000;
const INITIAL_RETRY_MS = 1_000;
const MAX_RETRY_MS = 60_000;
export const MAX_KEY_SET_BYTES = 256 * 1024;
/** Each is fetched again and again; beyond this many, further ones are not, and their tokens are refused. */
export const MAX_KEY_SETS = 500;

/**
 * Fetches the key sets that RequestAuthentications name, for all proxies at once. A set that can't be had is asked for
 * again and again; until then, and for as long as there has never been one, tokens of its issuer are refused. One that
 * could be had once stays in force.
 */
export function fetchKeySets(options: KeySetFetcherOptions): void {
  const { graph, authentications, keySets, logger, signal } = options;
  const fetching = new Map<string, AbortController>();
  const timeouts = new Map<string, number>();
  const follow = (): void => {
    const wanted = wantedKeySets(authentications.values());
    for (const [uri, controller] of fetching) {
      if (wanted.has(uri)) continue;
      controller.abort();
      fetching.delete(uri);
      timeouts.delete(uri);
      keySets.delete(uri);
    }
    for (const [uri, timeoutMs] of wanted) {
      timeouts.set(uri, timeoutMs);
      if (fetching.has(uri)) continue;
      if (fetching.size >= MAX_KEY_SETS) {
        const error = new WeftError(
          'WEFT1850',
          `${uri}: ${MAX_KEY_SETS} key sets are being followed already`,
        );
        logger.warn('cannot fetch key set', { error: describeError(error) });
        continue;
      }
      const controller = new AbortController();
      fetching.set(uri, controller);
      const timeoutNow = (): number => timeouts.get(uri) ?? DEFAULT_TIMEOUT_MS;
      void keepFetching(
        { uri, timeoutMs: timeoutNow },
        options,
        AbortSignal.any([signal, controller.signal]),
      );
    }
  };
  const unsubscribe = graph.subscribe((changes: ChangeSet) => {
    if (changes.of(authentications).size > 0) follow();
  });
  signal.addEventListener('abort', unsubscribe, { once: true });
  follow();
}

/** Addresses, and how long each may take: of several rules the most patient decides. */
function wantedKeySets(
  authentications: Iterable<PolicyObject<RequestAuthenticationSpec>>,
): ReadonlyMap<string, number> {
  const wanted = new Map<string, number>();
  for (const { spec } of authentications) {
    for (const rule of spec.jwtRules ?? []) {
      const uri = keySetUri(rule);
      if (uri === undefined) continue;
      const timeoutMs = Math.min(parseProtoDuration(rule.timeout) ?? DEFAULT_TIMEOUT_MS, MAX_TIMEOUT_MS);
      wanted.set(uri, Math.max(wanted.get(uri) ?? 0, timeoutMs));
    }
  }
  return wanted;
}

/** `1.5s` as protobuf writes it, or `1m30s`; undefined for anything else, and for none. */
export function parseProtoDuration(text = ''): number | undefined {
  const seconds = /^(\d{1,9}(?:\.\d{1,9})?)s$/.exec(text)?.[1];
  const ms = seconds === undefined ? parseGatewayDuration(text) : Number(seconds) * 1_000;
  return ms === undefined || ms <= 0 ? undefined : ms;
}

async function keepFetching(
  { uri, timeoutMs }: { readonly uri: string; readonly timeoutMs: () => number },
  { keySets, clock, logger, fetch: fetchImplementation = fetch }: KeySetFetcherOptions,
  signal: AbortSignal,
): Promise<void> {
  const backoff = new Backoff({ initialMs: INITIAL_RETRY_MS, maxMs: MAX_RETRY_MS });
  while (!signal.aborted) {
    let waitMs = REFRESH_MS;
    try {
      keySets.set(
        uri,
        await fetchKeySet(
          uri,
          fetchImplementation,
          AbortSignal.any([signal, AbortSignal.timeout(timeoutMs())]),
        ),
      );
      backoff.reset();
    } catch (error) {
      if (signal.aborted) return;
      const coded = new WeftError('WEFT1850', uri, { cause: error });
      logger.warn('cannot fetch key set', { error: describeError(coded) });
      waitMs = backoff.next();
    }
    await clock.sleep(waitMs, signal); // ends early, without an error, when nobody wants it any more
  }
}

async function fetchKeySet(
  uri: string,
  fetchImplementation: typeof fetch,
  signal: AbortSignal,
): Promise<string> {
  const { protocol } = new URL(uri);
  if (protocol !== 'https:' && protocol !== 'http:') throw new Error(`${protocol} is not fetched`);
  const response = await fetchImplementation(uri, {
    signal,
    headers: { accept: 'application/json' },
  });
  if (!response.ok) {
    await response.body?.cancel();
    throw new Error(`HTTP status ${response.status}`);
  }
  const keySet = usableKeySet(await boundedText(response));
  if (keySet === undefined) throw new Error('the answer holds no usable key');
  return keySet;
}

async function boundedText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response.body ?? []) {
    bytes += chunk.length;
    if (bytes > MAX_KEY_SET_BYTES) throw new Error(`the answer is longer than ${MAX_KEY_SET_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
