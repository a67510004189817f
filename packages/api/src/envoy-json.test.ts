import { describe, expect, it } from '@jest/globals';
import { envoy } from '../generated/envoy.js';
import { envoyFromJson, envoyMessageToJson, envoyToJson, isEnvoyType } from './envoy-json.ts';

const LISTENER = 'envoy.config.listener.v3.Listener';
const tcpProxy = {
  '@type': 'type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy',
  cluster: 'c',
  idleTimeout: '3.500s',
};
const listener = {
  name: 'x',
  address: { socketAddress: { address: '::1', portValue: 80 } },
  filterChains: [{ filters: [{ name: 'tcp', typedConfig: tcpProxy }] }],
  perConnectionBufferLimitBytes: 32768,
};

describe('ProtoJSON of Envoy’s messages', () => {
  it('survives encoding, with Any, Duration and wrappers', () => {
    const bytes = envoyFromJson(LISTENER, listener);
    expect(envoyToJson(LISTENER, bytes)).toEqual(listener);
    expect(envoyMessageToJson(LISTENER, envoy.config.listener.v3.Listener.decode(bytes))).toEqual(listener);
  });

  it('takes the names of the .proto files, as Envoy writes them', () => {
    const address = { socket_address: { address: '::1', port_value: 80 } };
    expect(envoyToJson(LISTENER, envoyFromJson(LISTENER, { address }))).toEqual({
      address: listener.address,
    });
  });

  it.each([
    [{ nam: 'x' }, 'nam'],
    [{ address: { socketAddress: { portValue: 'x' } } }, 'SocketAddress.portValue'],
    [{ filterChains: [{ filters: [{ typedConfig: { '@type': 'x/unheard.Of' } }] }] }, 'unheard.Of'],
  ])('names what is wrong in %j', (json, named) => {
    expect(() => envoyFromJson(LISTENER, json)).toThrow(named);
  });

  it('passes over unknown fields where asked to', () => {
    const bytes = envoyFromJson(LISTENER, { nam: 'x', name: 'y' }, { ignoreUnknownFields: true });
    expect(envoyToJson(LISTENER, bytes)).toEqual({ name: 'y' });
  });

  it('knows Envoy’s types, Istio’s filters and the wrappers', () => {
    for (const name of [
      LISTENER,
      'stats.PluginConfig',
      'io.istio.http.peer_metadata.Config',
      'google.protobuf.StringValue',
    ])
      expect(isEnvoyType(name)).toBe(true);
    expect(isEnvoyType('unheard.Of')).toBe(false);
  });
});
