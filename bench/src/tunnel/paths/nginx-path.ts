import { existsSync } from 'node:fs';
import type { Testbed } from '../testbed.ts';
import { type BenchPath, HTTP_PORT, IPERF_PORT } from './bench-path.ts';
import { certificateFiles, createAuthority, SERVER_DNS_NAME, type TlsFiles } from './certificates.ts';
import { proxyPair } from './proxy-pair.ts';

/** Where Debian has what other builds of nginx have inside. */
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so';
const PORTS = [
  { plain: HTTP_PORT, tls: 10_080 },
  { plain: IPERF_PORT, tls: 15_201 },
] as const;

/**
 * nginx in each pod, which wraps each connection in mutual TLS 1.3 of its own: no tunnels, no HTTP/2. The client
 * talks to nginx's port in its own pod.
 */
export async function nginxPath(testbed: Testbed, subnet: number): Promise<BenchPath> {
  const { mesh } = testbed;
  const ip = `10.0.${subnet}.12`;
  mesh.addPod('nginx-client', 'none', `10.0.${subnet}.11`);
  mesh.addPod('nginx-server', 'none', ip);
  const [client, server] = [testbed.namespaceOf('nginx-client'), testbed.namespaceOf('nginx-server')];
  const authority = await createAuthority();
  const configs = {
    client: testbed.file(
      'nginx-tls-client.conf',
      config(
        testbed,
        'client',
        clientServers(ip, await certificateFiles(testbed, authority, 'nginx-client')),
      ),
    ),
    server: testbed.file(
      'nginx-tls-server.conf',
      config(testbed, 'server', terminators(await certificateFiles(testbed, authority, 'nginx-server'))),
    ),
  };
  return proxyPair(testbed, {
    name: 'nginx',
    client,
    server,
    ip: '127.0.0.1',
    start: () => [
      testbed.start(server, 'nginx', ['-c', configs.server, '-e', '/dev/null']),
      testbed.start(client, 'nginx', ['-c', configs.client, '-e', '/dev/null']),
    ],
  });
}

function config({ folder, threads }: Testbed, side: 'client' | 'server', servers: string): string {
  return `${existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : ''}
user root; daemon off; worker_processes ${threads}; worker_rlimit_nofile 65536; pid ${folder}/nginx-tls-${side}.pid; error_log /dev/null;
events { worker_connections 32768; }
stream {
  log_format connection '$remote_addr $protocol $status $bytes_sent $bytes_received $session_time';
  access_log ${folder}/nginx-tls-${side}.log connection;
${servers}
}`;
}

function clientServers(serverIp: string, { key, chain, roots }: TlsFiles): string {
  return `  proxy_ssl on; proxy_ssl_protocols TLSv1.3; proxy_ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
  proxy_ssl_certificate ${chain}; proxy_ssl_certificate_key ${key};
  proxy_ssl_trusted_certificate ${roots}; proxy_ssl_verify on; proxy_ssl_verify_depth 2; proxy_ssl_name ${SERVER_DNS_NAME};
${PORTS.map(({ plain, tls }) => `  server { listen 127.0.0.1:${plain} backlog=4096; tcp_nodelay on; proxy_pass ${serverIp}:${tls}; }`).join('\n')}`;
}

function terminators({ key, chain, roots }: TlsFiles): string {
  return `  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_256_GCM_SHA384;
  ssl_certificate ${chain}; ssl_certificate_key ${key};
  ssl_client_certificate ${roots}; ssl_verify_client on; ssl_verify_depth 2;
${PORTS.map(({ plain, tls }) => `  server { listen ${tls} ssl backlog=4096; tcp_nodelay on; proxy_pass 127.0.0.1:${plain}; }`).join('\n')}`;
}
