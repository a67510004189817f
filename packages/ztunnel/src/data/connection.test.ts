import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { type Connection, Connections } from './connection.ts';
import type { OutboundQuestion, ToControl } from './messages.ts';
import { parseIp } from '../state/ip-address.ts';

const ip = parseIp('10.0.0.1') ?? fail();
const question = {
  kind: 'outbound',
  podUid: 'p',
  peer: { ip, port: 1 },
  destination: { ip, port: 2 },
} as const satisfies Omit<OutboundQuestion, 'connection'>;

describe('the connections of a data thread', () => {
  let posted: ToControl[];
  let connections: Connections;
  beforeEach(() => {
    jest.useFakeTimers();
    posted = [];
    connections = new Connections(0, (message) => posted.push(message));
  });
  const ask = (): Connection => connections.ask(question) ?? fail();
  const reports = (): { bytes: number[]; roundTripsMs: number[] }[] =>
    posted.flatMap((message) =>
      message.kind === 'report'
        ? [{ bytes: [...message.bytes], roundTripsMs: [...message.roundTripsMs] }]
        : [],
    );

  it('are reported once a second: what moved, and how long each order took', () => {
    const [first, second] = [ask(), ask()];
    jest.advanceTimersByTime(5);
    connections.onOrder(first.id, { kind: 'refuse', status: 503 });
    jest.advanceTimersByTime(10);
    connections.onOrder(second.id, { kind: 'refuse', status: 503 });
    first.received += 3;
    second.sent += 4;
    jest.advanceTimersByTime(1_000);
    expect(reports()).toEqual([{ bytes: [first.id, 3, 0, second.id, 0, 4], roundTripsMs: [5, 15] }]);
    first.received += 2;
    jest.advanceTimersByTime(2_000);
    expect(reports().slice(1)).toEqual([{ bytes: [first.id, 2, 0], roundTripsMs: [] }]);
  });

  it('leave nothing unreported when the last one ends', () => {
    const connection = ask();
    jest.advanceTimersByTime(7);
    connections.onOrder(connection.id, { kind: 'refuse', status: 503 });
    connections.closed(connection);
    expect(posted.map(({ kind }) => kind)).toEqual(['outbound', 'closed', 'report']);
    expect(reports()).toEqual([{ bytes: [], roundTripsMs: [7] }]);
    expect(jest.getTimerCount()).toBe(0);
  });
});

function fail(): never {
  throw new Error('not here');
}
