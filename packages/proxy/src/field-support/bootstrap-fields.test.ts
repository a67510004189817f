import { describe, expect, it } from '@jest/globals';
import { adsAccess } from '../config/ads.ts';
import { parseBootstrap, staticRuntime } from '../config/bootstrap.ts';
import { Proxy } from '../proxy.ts';

/** What is refused would be thrown by the proxy's constructor. */
function bootstrap(json: object) {
  const parsed = parseBootstrap(json);
  expect(() => new Proxy({ bootstrap: parsed })).not.toThrow();
  return parsed;
}

const ads = (service: object) => ({
  dynamic_resources: {
    ads_config: { api_type: 'GRPC', transport_api_version: 'V3', grpc_services: [service] },
  },
});

describe('a field of the bootstrap has its effect', () => {
  it('node: the configuration server is told all of it', () => {
    const { node } = adsAccess(
      bootstrap({
        ...ads({ google_grpc: { target_uri: 'xds:1', stat_prefix: 'ads' } }),
        node: {
          id: 'i',
          cluster: 'c',
          metadata: { a: 'b' },
          locality: { region: 'r' },
          dynamic_parameters: { type: { params: { k: 'v' } } },
          user_agent_name: 'weft',
          user_agent_build_version: {
            version: { major_number: 1, minor_number: 2, patch: 3 },
            metadata: { d: 'e' },
          },
          extensions: [{ name: 'x', category: 'y', type_descriptor: 'd', disabled: true, type_urls: ['u'] }],
          listening_addresses: [{ socket_address: { address: '10.0.0.1', port_value: 1 } }],
          client_features: ['f'],
        },
      }),
    );
    expect(node).toMatchObject({
      id: 'i',
      cluster: 'c',
      metadata: { fields: { a: { stringValue: 'b' } } },
      locality: { region: 'r' },
      dynamicParameters: { type: { params: { k: 'v' } } },
      userAgentName: 'weft',
      userAgentBuildVersion: { version: { majorNumber: 1, minorNumber: 2, patch: 3 } },
      extensions: [{ name: 'x', category: 'y', typeDescriptor: 'd', disabled: true, typeUrls: ['u'] }],
      listeningAddresses: [{ socketAddress: { address: '10.0.0.1', portValue: 1 } }],
      clientFeatures: ['f'],
    });
  });

  it('node.user_agent_version, and versions of extensions', () => {
    const node = { user_agent_version: '1.2', extensions: [{ version: { version: { major_number: 4 } } }] };
    expect(adsAccess(bootstrap({ ...ads({ google_grpc: { target_uri: 'x' } }), node })).node).toMatchObject({
      userAgentVersion: '1.2',
      extensions: [{ version: { version: { majorNumber: 4 } } }],
    });
  });

  it('google_grpc.target_uri and initial_metadata: how the configuration server is reached', () => {
    const access = adsAccess(
      bootstrap(
        ads({
          google_grpc: { target_uri: 'xds.test:15010', stat_prefix: 'ads' },
          initial_metadata: [{ key: 'authorization', value: 'x' }],
        }),
      ),
    );
    expect(access.address).toBe('xds.test:15010');
    expect(access.headers?.()).toEqual([['authorization', 'x']]);
  });

  it('layered_runtime: static layers, later ones over earlier ones', () => {
    const values = staticRuntime(
      bootstrap({
        layered_runtime: {
          layers: [
            { name: 'a', static_layer: { x: { y: 1 }, z: true } },
            { name: 'b', static_layer: { 'x.y': 2 } },
            { name: 'admin', admin_layer: {} },
          ],
        },
      }),
    );
    expect([...values]).toEqual([
      ['x.y', 2],
      ['z', true],
    ]);
  });
});
