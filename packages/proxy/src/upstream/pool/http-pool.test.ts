import { createServer, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from '@jest/globals';
import type { UpstreamCluster } from '../cluster.ts';
import { assignment, createTestEngine, requestContext, type TestEngine } from '../testing/engine.ts';
import { listen, type LoopbackServer, request, startRequest } from '../testing/exchange.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';

const cleanups: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
});

/** A server that does with its n-th request what the n-th step says, and a cluster of it alone. */
async function scripted(
  ...steps: readonly ((socket: Socket) => void)[]
): Promise<{ test: TestEngine; server: LoopbackServer; cluster: UpstreamCluster }> {
  let next = 0;
  const server = await listen(
    createServer((socket) => socket.on('data', () => (steps[next++] ?? steps.at(-1))?.(socket))),
  );
  const test = createTestEngine();
  const { cluster } = test.cluster({ name: 'test', loadAssignment: assignment(server.port) });
  cleanups.push(
    () => server.close(),
    () => cluster.close(),
  );
  return { test, server, cluster };
}

const answer = (socket: Socket): void => void socket.write(OK);
const answerAndClose = (socket: Socket): void => void socket.end(OK);

describe('a pool of HTTP/1 connections', () => {
  it('puts no request on a connection that the server closes right behind a response', async () => {
    const { server, cluster } = await scripted(answerAndClose, answer);
    expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
    // In the same turn in which the response came; the end of the connection hasn't been read yet.
    expect(await request(cluster, requestContext())).toMatchObject({ status: 200, reset: undefined });
    expect(server.accepted).toBe(2);
  });

  it('does so for each of many requests at a time', async () => {
    const { test, server, cluster } = await scripted(answerAndClose);
    const worker = async (): Promise<void> => {
      for (let i = 0; i < 25; i++) {
        expect(await request(cluster, requestContext())).toMatchObject({ status: 200, reset: undefined });
      }
    };
    await Promise.all(Array.from({ length: 8 }, worker));
    expect(server.accepted).toBe(200);
    expect(test.stats.values.get('cluster.test.upstream_cx_destroy_with_active_rq') ?? 0).toBe(0);
  });

  it('waits for a connection that settles instead of opening another, and is not pending meanwhile', async () => {
    const { test, server, cluster } = await scripted(answer);
    for (let i = 0; i < 5; i++) await request(cluster, requestContext());
    expect(server.accepted).toBe(1);
    expect(test.stats.values.get('cluster.test.upstream_rq_pending_total')).toBe(1);
  });

  it('forgets a request that was given up while its connection settled', async () => {
    const { server, cluster } = await scripted(answer);
    await request(cluster, requestContext());
    startRequest(cluster, requestContext()).cancel();
    expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
    expect(server.accepted).toBe(1);
  });

  it('fails a request that waits for a settling connection when the cluster is closed', async () => {
    const { cluster } = await scripted(answer);
    await request(cluster, requestContext());
    const waiting = request(cluster, requestContext());
    cluster.close();
    expect(await waiting).toEqual({ kind: 'connect-failure', reason: 'the cluster is gone' });
  });
});

describe('a pool whose requests are given up while they wait', () => {
  it('gives up the connections for them too, and serves the next request', async () => {
    const { test, server, cluster } = await scripted(answer);
    const crowd = Array.from({ length: 200 }, () => startRequest(cluster, requestContext()));
    for (const given of crowd) given.cancel();
    expect(await request(cluster, requestContext())).toMatchObject({ status: 200 });
    expect(server.accepted).toBeLessThan(crowd.length / 2);
    expect(cluster.breakersByPriority.default.connections.current).toBe(1);
    expect(test.stats.values.get('cluster.test.upstream_rq_cancelled')).toBe(crowd.length);
  });
});
