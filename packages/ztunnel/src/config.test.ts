import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { loadConfig, readToken } from './config.ts';

describe('configuration', () => {
  it('has the defaults of the reference', () => {
    expect(loadConfig({})).toMatchObject({
      network: '',
      clusterId: 'Kubernetes',
      xds: {
        address: 'https://localhost:15012',
        root: { kind: 'file', path: './var/run/secrets/istio/root-cert.pem' },
      },
      secretTtlMs: 86_400_000,
      zdsSocket: '/var/run/ztunnel/ztunnel.sock',
      drainDeadlineMs: 5_000,
      sockets: {
        mark: 1337,
        reusePort: true,
        transparent: 'best-effort',
        ipv6: true,
        userTimeoutMs: undefined,
      },
      tunnels: { streamWindowBytes: 4_194_304, maxStreamsPerConnection: 100, unusedReleaseMs: 300_000 },
      responseBaggage: true,
      logFormat: 'plain',
      ports: { admin: 15_000, stats: 15_020, readiness: 15_021 },
    });
  });

  it.each([
    [{}, 5_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '30' }, 25_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '10' }, 9_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '1' }, 1_000],
    [{ TERMINATION_GRACE_PERIOD_SECONDS: '30', CONNECTION_TERMINATION_DEADLINE: '1m' }, 60_000],
  ])('drains, by %j, for %p ms', (env, expected) => {
    expect(loadConfig(env).drainDeadlineMs).toBe(expected);
  });

  it.each([
    [{ ZTUNNEL_WORKER_THREADS: '3' }, 3],
    [{ ZTUNNEL_CPU_LIMIT: '1500m' }, 2],
    [{ ZTUNNEL_CPU_LIMIT: '1', ZTUNNEL_RESOURCE_CPU_REQUEST: '4' }, 4],
  ])('runs, by %j, %p data threads', (env, expected) => {
    expect(loadConfig(env).dataThreads).toBe(expected);
  });

  it.each([
    [{ KUBERNETES_SERVICE_HOST: '10.0.0.1' }, 'https://istiod.istio-system.svc:15012'],
    [{ XDS_ADDRESS: 'cp:15012' }, 'https://cp:15012'],
    [{ XDS_ADDRESS: 'http://cp:15010' }, 'http://cp:15010'],
    [{ XDS_ADDRESS: '' }, undefined],
  ])('finds, by %j, the control plane at %s', (env, expected) => {
    expect(loadConfig(env).xds.address).toBe(expected);
  });

  it.each([
    [{ ENABLE_ORIG_SRC: 'true' }, 'required'],
    [{ ENABLE_ORIG_SRC: 'false' }, 'never'],
  ])('takes %j for transparency %s', (env, expected) => {
    expect(loadConfig(env).sockets.transparent).toBe(expected);
  });

  it.each([
    { IPV6_ENABLED: 'yes' },
    { SECRET_TTL: 'long' },
    { HTTP2_FRAME_SIZE: '1' },
    { ISTIO_METAJSON_X: '{' },
    { ZTUNNEL_CPU_LIMIT: 'all' },
    { PROXY_MODE: 'dedicated' },
    { XDS_ON_DEMAND: 'true' },
  ])('refuses %j', (env) => {
    expect(() => loadConfig(env)).toThrow(expect.objectContaining({ code: 'WEFT1001' }));
  });

  it('sends metadata and headers that the environment names', () => {
    const config = loadConfig({ ISTIO_META_A: 'x', ISTIO_METAJSON_B: '{"c":[1]}', XDS_HEADER_Tenant: 't' });
    expect([...config.nodeMetadata]).toEqual([
      ['A', 'x'],
      ['B', { c: [1] }],
    ]);
    expect([...config.xds.headers]).toEqual([['tenant', 't']]);
  });

  it('reads the token anew from its file, or takes it literally', () => {
    const folder = mkdtempSync(join(tmpdir(), 'weft-token-'));
    try {
      const path = join(folder, 'token');
      writeFileSync(path, 'one');
      const { token } = loadConfig({ AUTH_TOKEN: path }).xds;
      writeFileSync(path, 'two');
      expect(readToken(token)).toBe('two');
      expect(readToken(loadConfig({ AUTH_TOKEN: 'literal' }).ca.token)).toBe('literal');
      expect(readToken(loadConfig({ AUTH_TOKEN: '' }).ca.token)).toBeUndefined();
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
