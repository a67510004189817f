import { describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import { Fields } from './config-fields.ts';
import { MESH_KEY } from '../sources/sources.ts';
import { createMesh } from './test-mesh.ts';
import { defaultWaypointSettings, parseWaypointSettings } from './waypoint-settings.ts';

const parsed = (text: string) => parseWaypointSettings(new Fields(parse(text) ?? {}, ''));

describe('settings of waypoints', () => {
  it('are Istio’s defaults where nothing is said', () => {
    expect(parsed('')).toEqual(defaultWaypointSettings);
    expect(parsed('{ connectTimeout: , pathNormalization: {}, protocolDetectionTimeout: 0s }')).toEqual(
      defaultWaypointSettings,
    );
  });

  it('are read under the names of JSON and of protocol buffers', () => {
    expect(parsed('connectTimeout: 1.5s').connectTimeoutMs).toBe(1_500);
    expect(parsed('connect_timeout: 1m').connectTimeoutMs).toBe(60_000);
    expect(parsed('disableEnvoyListenerLog: true').logsUnmatched).toBe(false);
    expect(parsed('tcpKeepalive: { time: 90s }').tcpKeepalive).toEqual({
      probes: undefined,
      time: 90,
      interval: undefined,
    });
  });

  it.each([
    ['connectTimeout: 0s', 'connectTimeout is not a time'],
    ['connectTimeout: 10', 'connectTimeout is not a text'],
    ['dnsRefreshRate: often', 'dnsRefreshRate is not a time'],
    ['protocolDetectionTimeout: -1s', 'protocolDetectionTimeout is not a time'],
    ['pathNormalization: { normalization: ALL }', 'pathNormalization.normalization is none of DEFAULT, NONE'],
    ['tcpKeepalive: { probes: 1000 }', 'tcpKeepalive.probes is not a number from 1 to 127'],
    ['tcpKeepalive: { interval: 10ms }', 'tcpKeepalive.interval is less than a second'],
  ])('are refused where they say %s', (text, message) => {
    expect(() => parsed(text)).toThrow(message);
  });

  it('change waypoints while they run, and nothing of what ztunnels are told', () => {
    const mesh = createMesh();
    mesh.apply(
      '{ kind: GatewayClass, metadata: { name: istio-waypoint }, spec: { controllerName: istio.io/mesh-controller } }',
      '{ kind: Gateway, metadata: { name: wp, namespace: shop }, spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE }] }, status: { addresses: [{ value: 10.0.0.1 }] } }',
    );
    const versions = () =>
      [...(mesh.networking.clusters.get('shop/wp')?.values() ?? [])].map(({ version }) => version);
    const before = versions();
    mesh.sources.meshConfig.set(MESH_KEY, 'connectTimeout: 1s');
    expect(mesh.flush()).toEqual([]);
    expect(versions()).not.toEqual(before);
    mesh.sources.meshConfig.set(MESH_KEY, '');
    mesh.flush();
    expect(versions()).toEqual(before);
  });
});
