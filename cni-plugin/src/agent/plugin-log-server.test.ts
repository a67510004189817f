import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { request, type IncomingMessage } from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { listenForPluginLogs, type PluginLogLine } from './plugin-log-server.ts';
import type { UnixHttpServer } from './unix-http-server.ts';

describe('the socket for the logs of plugins', () => {
  let dir: string;
  let server: UnixHttpServer;
  const lines: PluginLogLine[] = [];
  const post = async (body: string, url = '/log'): Promise<number | undefined> => {
    const sent = request({ socketPath: path.join(dir, 'log.sock'), path: url, method: 'POST' });
    sent.on('error', () => undefined).end(body);
    const [response] = (await once(sent, 'response')) as [IncomingMessage];
    response.resume();
    return response.statusCode;
  };

  beforeEach(async () => {
    dir = mkdtempSync(path.join(tmpdir(), 'logs-'));
    lines.length = 0;
    server = await listenForPluginLogs(path.join(dir, 'log.sock'), (line) => lines.push(line));
  });
  afterEach(async () => {
    await server.close();
    rmSync(dir, { recursive: true });
  });

  it('takes the lines that are some, and leaves out what else is in the list', async () => {
    const good = JSON.stringify({ level: 'info', time: '2026-01-01T00:00:00Z', msg: 'a', scope: 'x' });
    expect(await post(JSON.stringify([good, 'no JSON', 1, null, '{"level":1}', good]))).toBe(200);
    expect(lines).toEqual([
      { level: 'info', msg: 'a' },
      { level: 'info', msg: 'a' },
    ]);
  });

  it.each([
    ['no JSON', '{', '/log', 200],
    ['no list', '{}', '/log', 200],
    ['too much', JSON.stringify(['x'.repeat(70_000)]), '/log', 400],
    ['another path', '[]', '/cmdadd', 404],
  ])('takes nothing of %s', async (_what, body, url, status) => {
    expect(await post(body, url)).toBe(status);
    expect(lines).toEqual([]);
  });
});
