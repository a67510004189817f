import { describe, expect, it } from '@jest/globals';
import grpc from '@grpc/grpc-js';
import { ReconnectDelay, reconnectAfter, terminationReason, type Ending } from './reconnect.ts';

const status = (code: grpc.status, details = '', delivered = true): Ending => ({
  kind: 'status',
  code,
  details,
  delivered,
});

describe('reconnectAfter', () => {
  it.each<[Ending, string]>([
    [{ kind: 'not connected' }, 'after back-off'],
    [{ kind: 'malformed' }, 'after back-off'],
    [status(grpc.status.UNKNOWN), 'soon'],
    [status(grpc.status.CANCELLED), 'soon'],
    [status(grpc.status.DEADLINE_EXCEEDED), 'soon'],
    [status(grpc.status.UNAVAILABLE, 'transport is closing'), 'soon'],
    [status(grpc.status.UNAVAILABLE, 'closing transport: received prior goaway: code NO_ERROR'), 'soon'],
    [status(grpc.status.UNAVAILABLE, 'Connection dropped'), 'soon'],
    [status(grpc.status.INTERNAL, 'Received RST_STREAM with code 2'), 'soon'],
    [status(grpc.status.UNAVAILABLE, 'no healthy upstream'), 'after back-off'],
    [status(grpc.status.UNAUTHENTICATED, 'authentication failure'), 'after back-off'],
    [status(grpc.status.INTERNAL, 'boom'), 'after back-off'],
    [status(grpc.status.UNKNOWN, '', false), 'after back-off'],
    [{ kind: 'clean end', delivered: true }, 'at once'],
    [{ kind: 'clean end', delivered: false }, 'after back-off'],
    [{ kind: 'other error', delivered: true }, 'at once'],
  ])('of %j is %s', (ending, expected) => {
    expect(reconnectAfter(ending)).toBe(expected);
  });
});

describe('the reason for which a connection ended', () => {
  it.each<[Ending, string]>([
    [{ kind: 'not connected' }, 'ConnectionError'],
    [{ kind: 'malformed' }, 'Error'],
    [{ kind: 'clean end', delivered: false }, 'Complete'],
    [{ kind: 'other error', delivered: true }, 'Error'],
    [status(grpc.status.CANCELLED), 'Reconnect'],
    [status(grpc.status.UNAVAILABLE, 'received prior goaway', false), 'Reconnect'],
    [status(grpc.status.UNAVAILABLE, 'no healthy upstream'), 'Error'],
    [status(grpc.status.UNAUTHENTICATED), 'Error'],
  ])('after %j is %s', (ending, expected) => {
    expect(terminationReason(ending)).toBe(expected);
  });
});

describe('ReconnectDelay', () => {
  it('doubles from 20 ms to 15 s, and starts over after a stream that delivered', () => {
    const delay = new ReconnectDelay(() => 0.5);
    const delays = Array.from({ length: 12 }, () => delay.next('after back-off'));
    expect(delays).toEqual([20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_240, 15_000, 15_000]);
    expect(delay.next('soon')).toBe(10);
    expect(delay.next('after back-off')).toBe(20);
    expect(delay.next('at once')).toBe(0);
  });
});
