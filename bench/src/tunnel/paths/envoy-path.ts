import type { ChildProcess } from 'node:child_process';
import { ZTUNNEL_MARK } from '@weft/api';
import type { NetworkNamespace } from '@weft/linux';
import type { Testbed } from '../testbed.ts';
import { type BenchPath, HTTP_PORT, IPERF_PORT } from './bench-path.ts';
import { certificateFiles, createAuthority } from './certificates.ts';
import { type EnvoySide, hboneClientBootstrap, hboneServerBootstrap } from './envoy-config.ts';
import { proxyPair } from './proxy-pair.ts';

/**
 * Envoy in each pod, doing the same work: `tcp_proxy` with a tunnel on one side, CONNECT termination with a policy on the
 * other, mutual TLS 1.3 between them, access logs on, behind the same rules that redirect what a captured pod sends. Envoy takes AES-128 unless a policy for more than that is set, which then asks for P-384, too:
 * both sides' keys are on it, and the few handshakes there are cost more than ztunnel's.
 */
export async function envoyPath(testbed: Testbed, subnet: number): Promise<BenchPath> {
  const { mesh } = testbed;
  const serverIp = `10.0.${subnet}.12`;
  mesh.addPod('envoy-client', 'none', `10.0.${subnet}.11`);
  mesh.addPod('envoy-server', 'none', serverIp);
  for (const pod of ['envoy-client', 'envoy-server']) mesh.redirect(pod);
  const [client, server] = [testbed.namespaceOf('envoy-client'), testbed.namespaceOf('envoy-server')];
  const authority = await createAuthority();
  const side = async (own: string, peer: string): Promise<EnvoySide> => ({
    serverIp,
    ports: [HTTP_PORT, IPERF_PORT],
    tls: await certificateFiles(testbed, authority, own, 'P-384'),
    peer,
    aes256: true,
    mark: ZTUNNEL_MARK,
  });
  const config = (name: string, bootstrap: object): string => testbed.file(name, JSON.stringify(bootstrap));
  const configs = {
    server: config('envoy-server.json', hboneServerBootstrap(await side('envoy-server', 'envoy-client'))),
    client: config('envoy-client.json', hboneClientBootstrap(await side('envoy-client', 'envoy-server'))),
  };
  return proxyPair(testbed, {
    name: 'envoy',
    client,
    server,
    ip: serverIp,
    start: () => [
      startEnvoy(testbed, server, configs.server, testbed.threads),
      startEnvoy(testbed, client, configs.client, testbed.threads),
    ],
  });
}

export function startEnvoy(
  testbed: Testbed,
  namespace: NetworkNamespace,
  config: string,
  workers: number,
): ChildProcess {
  const args = [
    '--concurrency',
    String(workers),
    '--disable-hot-restart',
    '--log-level',
    'error',
    '-c',
    config,
  ];
  return testbed.start(namespace, testbed.envoy, args);
}
