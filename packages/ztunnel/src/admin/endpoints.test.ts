import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { request, type IncomingHttpHeaders } from 'node:http';
import { gunzipSync } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { createMetricsRegistry, LogLevels, Readiness, type ProfileOptions } from '@weft/telemetry';
import { ZtunnelMetrics } from '../telemetry/metrics.ts';
import { openEndpoints, type EndpointOptions, type Endpoints } from './endpoints.ts';

let endpoints: Endpoints;
let readiness: Readiness;
let quits: number;
let profiles: [string, ProfileOptions][];
let finishProfile: () => void;

function optionsOf(ports: EndpointOptions['ports']): EndpointOptions {
  const registry = createMetricsRegistry();
  new ZtunnelMetrics(registry, { istioVersion: '1.32', pods: () => undefined });
  return {
    ports,
    registry,
    readiness,
    admin: {
      configDump: () => ({ workloads: [] }),
      connections: () => [],
      levels: new LogLevels(),
      logFilter: 'info',
      takeProfile: (thread, options) => {
        if (thread === 'data-9') return undefined;
        profiles.push([thread, options]);
        return new Promise((resolve) => {
          finishProfile = () => resolve('{"nodes":[]}');
        });
      },
      quit: () => quits++,
    },
  };
}

beforeEach(async () => {
  readiness = new Readiness(['state manager', 'proxy']);
  quits = 0;
  profiles = [];
  endpoints = await openEndpoints(optionsOf({ admin: 0, stats: 0, readiness: 0 }));
});
afterEach(() => endpoints.close());

interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}
async function ask(
  port: keyof EndpointOptions['ports'],
  path: string,
  o: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<Answer> {
  const call = request({ host: '127.0.0.1', port: endpoints.ports[port], path, ...o });
  call.end();
  const [response] = (await once(call, 'response')) as [import('node:http').IncomingMessage];
  const chunks: Buffer[] = [];
  for await (const chunk of response) chunks.push(chunk as Buffer); // no encoding is set
  return { status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) };
}

describe('the administration port', () => {
  it.each<[string, string, number, RegExp]>([
    ['GET', '/', 200, /config_dump/],
    ['GET', '/config_dump', 200, /"workloads": \[\]/],
    ['GET', '/connections', 200, /^\[\]/],
    ['GET', '/nothing', 404, /Not Found/],
    ['GET', '/logging', 405, /./],
    ['POST', '/logging?level=access=debug', 200, /^current log level is access=debug,info\n$/],
    ['POST', '/logging?level=access:debug', 400, /invalid level/],
    ['POST', '/config_dump', 405, /./],
    ['GET', '/quitquitquit', 405, /./],
    ['POST', '/debug/pprof/heap', 405, /./],
    ['GET', '/debug/pprof/profile?seconds=0', 400, /from 1 to 300/],
    ['GET', '/debug/pprof/profile?seconds=301', 400, /from 1 to 300/],
    ['GET', '/debug/pprof/profile?frequency=1001', 400, /from 1 to 1000/],
    ['GET', '/debug/pprof/profile?thread=data-9', 400, /no data-9/],
  ])('answers %s %s with %p', async (method, path, status, body) => {
    const answer = await ask('admin', path, { method });
    expect([answer.status, answer.body.toString()]).toEqual([status, expect.stringMatching(body)]);
    expect(quits).toBe(0);
  });

  it('starts the drain by POST /quitquitquit', async () => {
    const { status, body } = await ask('admin', '/quitquitquit', { method: 'POST' });
    expect([status, body.toString()]).toEqual([200, 'shutdown now\n']);
    expect(quits).toBe(1);
  });

  it('takes one CPU profile at a time, of any thread', async () => {
    const first = ask('admin', '/debug/pprof/profile?seconds=2&frequency=50&thread=data-0');
    while (profiles.length === 0) await new Promise(setImmediate);
    expect((await ask('admin', '/debug/pprof/profile')).status).toBe(409);
    finishProfile();
    const { status, headers, body } = await first;
    expect([status, headers['content-type'], body.toString()]).toEqual([
      200,
      'application/json',
      '{"nodes":[]}',
    ]);
    expect(profiles).toEqual([['data-0', { durationMs: 2_000, samplesPerSecond: 50 }]]);
    const second = ask('admin', '/debug/pprof/profile');
    while (profiles.length === 1) await new Promise(setImmediate);
    finishProfile();
    await second;
    expect(profiles[1]).toEqual(['control', { durationMs: 10_000, samplesPerSecond: 100 }]);
  });
});

describe('the statistics port', () => {
  it.each(['/metrics', '/stats/prometheus'])('answers %s in OpenMetrics text', async (path) => {
    const { status, headers, body } = await ask('stats', path);
    expect([status, headers['content-type']]).toEqual([200, 'text/plain; charset=utf-8']);
    expect(body.toString().trimEnd().endsWith('# EOF')).toBe(true);
  });

  it('says so to who asks for OpenMetrics', async () => {
    const accept =
      'application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1';
    const { headers } = await ask('stats', '/metrics', { headers: { accept } });
    expect(headers['content-type']).toBe('application/openmetrics-text;charset=utf-8;version=1.0.0');
  });

  it('compresses for who can read it', async () => {
    const plain = await ask('stats', '/metrics', { headers: { 'accept-encoding': 'identity' } });
    expect(plain.headers['content-encoding']).toBeUndefined();
    const packed = await ask('stats', '/metrics', { headers: { 'accept-encoding': 'gzip' } });
    expect(packed.headers['content-encoding']).toBe('gzip');
    expect(packed.body.length).toBeLessThan(plain.body.length / 2);
    expect(gunzipSync(packed.body).toString()).toContain('istio_build{component="ztunnel",tag="1.32"} 1');
  });

  it('has nothing else', async () => {
    expect((await ask('stats', '/')).status).toBe(404);
  });
});

describe('the readiness port', () => {
  it('names what is pending, in order, until all is ready, and again when something is lost', async () => {
    const ready = async (): Promise<[number, string]> => {
      const { status, body } = await ask('readiness', '/healthz/ready');
      return [status, body.toString()];
    };
    expect(await ready()).toEqual([500, 'not ready, pending: proxy, state manager\n']);
    readiness.open('proxy');
    readiness.open('state manager');
    expect(await ready()).toEqual([200, 'ready\n']);
    readiness.close('state manager');
    expect(await ready()).toEqual([500, 'not ready, pending: state manager\n']);
  });

  it('answers nothing but GET', async () => {
    expect((await ask('readiness', '/healthz/ready', { method: 'POST' })).status).toBe(405);
  });
});

it('opens all ports or none', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const { port } = taken.address() as AddressInfo; // it listens on TCP
  await expect(openEndpoints(optionsOf({ admin: port, stats: 0, readiness: 0 }))).rejects.toMatchObject({
    code: 'EADDRINUSE',
  });
  taken.close();
});
