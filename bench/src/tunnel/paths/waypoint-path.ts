import { fileURLToPath } from 'node:url';
import { Port } from '@weft/api';
import { istio } from '@weft/api/workload';
import { bytesOf } from '@weft/ztunnel/testing';
import type { Testbed } from '../testbed.ts';
import { type BenchPath, HTTP_PORT } from './bench-path.ts';
import { waypointBootstrap } from './envoy-config.ts';
import { startEnvoy } from './envoy-path.ts';
import { weftPath } from './weft-paths.ts';

const engine = fileURLToPath(new URL('../../../../packages/proxy/dist/main.js', import.meta.url));

/**
 * A path with our ztunnels on which requests for a service go through a waypoint, on the server's side: the L7 engine, or
 * Envoy from the same bootstrap. One worker each, as the engine has.
 */
export async function waypointPath(
  testbed: Testbed,
  o: { readonly name: string; readonly subnet: number; readonly proxy: 'weft' | 'envoy' },
): Promise<BenchPath> {
  const { mesh } = testbed;
  const { name, subnet, proxy } = o;
  const hostname = `${name}.default.svc.cluster.local`;
  const service = { [`default/${hostname}`]: { ports: [{ servicePort: HTTP_PORT, targetPort: HTTP_PORT }] } };
  const path = await weftPath(testbed, {
    name,
    subnet,
    engine: 'fast',
    topology: 'two-nodes',
    server: { services: service },
  });
  const account = `${name}-waypoint`;
  const ip = `10.0.${subnet}.14`;
  const vip = `10.96.${subnet}.1`;
  mesh.addPod(account, `${name}-far`, ip);
  mesh.describe(account, { tunnelProtocol: istio.workload.TunnelProtocol.HBONE, nativeTunnel: true });
  mesh.controlPlane.setService({
    name,
    namespace: 'default',
    hostname,
    addresses: [{ network: '', address: bytesOf(vip) }],
    ports: [{ servicePort: HTTP_PORT, targetPort: HTTP_PORT }],
    waypoint: { address: { network: '', address: bytesOf(ip) }, hboneMtlsPort: Port.hbone },
  });
  await mesh.untilKnown(({ services }) => services.some((known) => known.name === name));
  const certificate = await mesh.controlPlane.certificate(`spiffe://cluster.local/ns/default/sa/${account}`);
  const config = testbed.file(
    `${name}.json`,
    JSON.stringify(
      waypointBootstrap({
        serverIp: path.ip,
        ports: [HTTP_PORT],
        peer: `${name}-server`,
        tls: {
          key: testbed.file(`${name}.key`, certificate.keyPem),
          chain: testbed.file(`${name}.pem`, certificate.chainPem),
          roots: testbed.file(`${name}-roots.pem`, certificate.rootsPem),
        },
      }),
    ),
  );
  const namespace = testbed.namespaceOf(account);
  const start = () =>
    proxy === 'envoy'
      ? startEnvoy(testbed, namespace, config, 1)
      : testbed.start(namespace, process.execPath, [engine, '--bootstrap', config, '--log-level', 'warn']);
  let running = start();
  return {
    ...path,
    ip: vip,
    carriesBytes: false,
    processes: () => [...path.processes(), running],
    restart: async () => {
      await testbed.end(running);
      await path.restart();
      running = start();
    },
  };
}
