import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { expect, it } from '@jest/globals';
import { envoyFromJson } from '@weft/api/envoy-json';
import { checkFields } from '../../field-support/check-fields.ts';
import { testContext, testEngine } from '../../testing/compile.ts';
import { compileCluster } from '../config/cluster-config.ts';
import { connectTcp } from './tcp.ts';

const TYPE = 'envoy.config.cluster.v3.Cluster';

function sources(upstream_bind_config: object) {
  const bytes = envoyFromJson(TYPE, { name: 'c', upstream_bind_config });
  checkFields(TYPE, bytes, { resource: 'c' });
  return compileCluster(bytes, testContext(testEngine())).sources;
}

it('upstream_bind_config: connections come from the source address of their family', async () => {
  const server = createServer((socket) => socket.end()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as AddressInfo; // a TCP server's address is always this
    const bound = sources({
      source_address: { address: '::1', port_value: 0 },
      extra_source_addresses: [{ address: { address: '127.0.0.2', port_value: 0 } }],
    });
    const accepted = once(server, 'connection');
    const target = { kind: 'ip', ip: '127.0.0.1', port } as const;
    const socket = await connectTcp([target], { sources: bound }, new AbortController().signal);
    const [peer] = await accepted;
    expect([socket.localAddress, peer.remoteAddress]).toEqual(['127.0.0.2', '127.0.0.2']);
    socket.destroy();
  } finally {
    server.close();
  }
});

it('upstream_bind_config: what is no address is refused', () => {
  expect(() => sources({ source_address: { address: 'here', port_value: 0 } })).toThrow(
    'upstream_bind_config.source_address.address',
  );
});
