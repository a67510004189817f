import { networkInterfaces } from 'node:os';
import type { Exchange, Fields, TestResponse } from './exchange.ts';
import type { Received } from './upstreams.ts';

/** What is compared of an exchange: everything but what differs between two runs of the same proxy. */
export interface Observation {
  readonly end: Exchange['end'];
  readonly responses: readonly ObservedResponse[];
}

interface ObservedResponse {
  readonly status: number;
  readonly interim: readonly number[];
  readonly headers: Readonly<Record<string, readonly string[]>>;
  readonly trailers: Readonly<Record<string, readonly string[]>>;
  readonly cut: boolean;
  /** What the upstream received, or the text of any other body. */
  readonly upstream?: object;
  readonly body?: string;
}

/**
 * Envoy puts this machine's address where it would put a loopback client's; real clients aren't on loopback, so the
 * engine doesn't imitate that.
 */
const ownAddresses = new Set(
  Object.values(networkInterfaces()).flatMap((addresses = []) => addresses.map(({ address }) => address)),
);
const CLIENT_ADDRESS = new Set(['x-forwarded-for', 'x-envoy-external-address']);
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;
/** `x-case` and `x-peer` are the test's own. */
const LEFT_OUT = new Set(['date', 'x-case', 'x-peer']);
/** Of a response: it only frames it. */
const FRAMING = ['transfer-encoding'];
const ANY_VALUE = new Set(['x-envoy-upstream-service-time']);

function stable(name: string, value: string): string {
  if (ANY_VALUE.has(name)) return '*';
  // What is left of the time depends on how long the first attempts took.
  if (name === 'x-envoy-expected-rq-timeout-ms') return String(Math.ceil(Number(value) / 1_000));
  if (CLIENT_ADDRESS.has(name))
    return value
      .split(',')
      .map((part) => (ownAddresses.has(part) ? '127.0.0.1' : part))
      .join(',');
  return UUID.test(value) ? '<uuid>' : value;
}

/** Values in their order, names in the alphabet's: the order of different names means nothing. */
function byName(fields: Fields, alsoLeftOut: readonly string[] = []): Record<string, readonly string[]> {
  const names = [...new Set(fields.map(([name]) => name))]
    .filter((name) => !LEFT_OUT.has(name) && !alsoLeftOut.includes(name))
    .sort();
  return Object.fromEntries(
    names.map((name) => [
      name,
      fields.filter(([key]) => key === name).map(([, value]) => stable(name, value)),
    ]),
  );
}

function received(response: TestResponse): Received | undefined {
  if (!response.body.startsWith('{"upstream"')) return undefined;
  try {
    return JSON.parse(response.body) as Received; // an upstream's, by its first key
  } catch {
    return undefined;
  }
}

function observeResponse(response: TestResponse): ObservedResponse {
  const { status, interim, headers, trailers, cut, body } = response;
  const echo = received(response);
  return {
    status,
    interim,
    // The echo's length says only how long the ids in it are.
    headers: byName(headers, echo === undefined ? FRAMING : [...FRAMING, 'content-length']),
    trailers: byName(trailers),
    cut,
    ...(echo === undefined
      ? { body }
      : // That there is no body goes without saying, or doesn't.
        {
          upstream: {
            ...echo,
            headers: byName(
              echo.headers.filter(([name, value]) => name !== 'content-length' || value !== '0'),
            ),
            trailers: byName(echo.trailers),
          },
        }),
  };
}

export function observe({ end, responses }: Exchange): Observation {
  return { end, responses: responses.map(observeResponse) };
}

/**
 * The fields of an access log's line: flags in one order, and the details without the system's words for a failed
 * connection. Envoy names no cluster that it doesn't have.
 */
export function comparableLog([
  code,
  flags = '',
  details = '',
  route,
  cluster,
  ...rest
]: readonly string[]): string {
  return [
    code,
    flags.split(',').sort().join(),
    details.replace(/\|.*\}/, '}'),
    route,
    flags === 'NC' ? '-' : cluster,
    ...rest,
  ].join(' ');
}
