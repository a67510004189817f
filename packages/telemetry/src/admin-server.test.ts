import { request } from 'node:http';
import { afterEach, describe, expect, it } from '@jest/globals';
import { AdminServer } from './admin-server.ts';

function fetchText(
  port: number,
  path: string,
  o: { host?: string; body?: string } = {},
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(
      { host: o.host ?? '127.0.0.1', port, path, method: o.body === undefined ? 'GET' : 'POST' },
      (response) => {
        let text = '';
        response.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
        response.on('end', () => resolve({ status: response.statusCode ?? 0, text }));
      },
    );
    call.on('error', reject);
    call.end(o.body);
  });
}

describe('admin server', () => {
  const servers: AdminServer[] = [];
  const start = async (host?: string): Promise<number> => {
    const server = new AdminServer({
      '/ok': ({ method }) => ({ body: method }),
      '/fails': () => Promise.reject(new Error('broken')),
    });
    servers.push(server);
    return server.listen(0, host);
  };
  afterEach(async () => {
    await Promise.all(servers.splice(0).map((server) => server.close()));
  });

  it('answers known paths, and 404 to all others', async () => {
    const port = await start();
    expect(await fetchText(port, '/ok')).toEqual({ status: 200, text: 'GET' });
    expect((await fetchText(port, '/constructor')).status).toBe(404);
  });

  it('serves both loopback addresses as localhost', async () => {
    const port = await start('localhost');
    expect((await fetchText(port, '/ok', { host: '127.0.0.1' })).status).toBe(200);
    expect((await fetchText(port, '/ok', { host: '::1' })).status).toBe(200);
  });

  it('survives a handler that fails and a body that is too large', async () => {
    const port = await start();
    expect((await fetchText(port, '/fails')).status).toBe(500);
    expect((await fetchText(port, '/ok', { body: 'x'.repeat(65 * 1024) })).status).toBe(413);
    expect((await fetchText(port, '/ok', { body: 'x' })).status).toBe(200);
  });
});
