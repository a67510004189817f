import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect as http2Connect } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as tlsConnect } from 'node:tls';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { issue, namespaceObject, TestServer } from './testing/test-server.ts';

describe('the process', () => {
  let directory: string;
  let child: ChildProcess | undefined;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'weft-api-process-'));
  });
  afterEach(async () => {
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await once(child, 'exit');
    }
    await rm(directory, { recursive: true, force: true });
  });

  it('has everything that it confirmed after kill -9, and says what is wrong with its configuration', async () => {
    const key = privateKeyPem((await createKeyPair()).privateKey);
    const authority = await CertificateAuthority.createSelfSigned({
      subject: { commonName: 'ca' },
      keyPem: key,
    });
    const serving = await issue(authority, 'kube-apiserver', []);
    const admin = await issue(authority, 'admin', ['system:masters']);
    const file = async (name: string, content: string) => {
      await writeFile(join(directory, name), content);
      return join(directory, name);
    };
    const config = {
      listen: [{ host: '127.0.0.1', port: 0 }],
      storeDirectory: directory,
      pki: {
        caFile: await file('ca.crt', authority.rootsPem),
        certFile: await file('server.crt', serving.cert),
        keyFile: await file('server.key', serving.key),
        serviceAccountKeyFile: await file('sa.key', key),
      },
    };
    const path = await file('config.json', JSON.stringify(config));
    const post = (port: number, method: string, url: string, body?: object): Promise<number> =>
      new Promise((resolve, reject) => {
        const request = httpsRequest(
          {
            host: '127.0.0.1',
            port,
            method,
            path: url,
            ca: authority.rootsPem,
            cert: admin.cert,
            key: admin.key,
            agent: false,
          },
          (response) => {
            response.resume();
            resolve(response.statusCode ?? 0);
          },
        );
        request.on('error', reject);
        request.end(body === undefined ? undefined : JSON.stringify(body));
      });

    const first = await startProcess(path);
    child = first.child;
    for (let count = 0; count < 20; count++) {
      expect(await post(first.port, 'POST', '/api/v1/namespaces', namespaceObject(`n${count}`))).toBe(201);
    }
    child.kill('SIGKILL');
    await once(child, 'exit');

    const second = await startProcess(path);
    child = second.child;
    for (let count = 0; count < 20; count++) {
      expect(await post(second.port, 'GET', `/api/v1/namespaces/n${count}`)).toBe(200);
    }
    child.kill('SIGTERM');
    expect(await once(child, 'exit')).toEqual([0, null]);

    child = spawnProcess(await file('bad.json', JSON.stringify({ ...config, listen: [{ host: 1 }] })));
    let output = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => (output += text));
    expect(await once(child, 'exit')).toEqual([1, null]);
    expect(output).toContain('WEFT2022');
    expect(output).toContain('listen: host and port are needed');
  });
});

function spawnProcess(config: string): ChildProcess {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  return spawn(process.execPath, [main, config], { stdio: ['ignore', 'pipe', 'inherit'] });
}

async function startProcess(config: string): Promise<{ child: ChildProcess; port: number }> {
  const child = spawnProcess(config);
  let output = '';
  child.stdout?.setEncoding('utf8');
  for await (const text of child.stdout ?? []) {
    output += String(text);
    const port = /addresses=\["127\.0\.0\.1:(\d+)"\]/.exec(output)?.[1];
    if (port !== undefined) return { child, port: Number(port) };
  }
  throw new Error(`the process ended: ${output}`);
}

describe('connections', () => {
  let cluster: TestServer;
  beforeEach(async () => {
    cluster = await TestServer.start();
  });
  afterEach(() => cluster.stop());

  it('without credentials are anonymous, with bad ones refused', async () => {
    const foreign = await TestServer.start();
    const stranger = await issue(foreign.authority, 'admin', ['system:masters']);
    await foreign.stop();
    expect((await cluster.call('GET', '/api/v1/nodes', { token: 'nonsense' })).status).toBe(401);
    const session = http2Connect(`https://127.0.0.1:${cluster.port}`, {
      ca: cluster.authority.rootsPem,
      cert: stranger.cert,
      key: stranger.key,
    });
    const request = session.request({ ':path': '/api/v1/nodes' });
    const [headers] = (await once(request, 'response')) as [{ ':status': number }]; // the event's signature
    expect(headers[':status']).toBe(403);
    let text = '';
    for await (const chunk of request) text += String(chunk);
    expect(text).toContain('User \\"system:anonymous\\" cannot list resource \\"nodes\\"');
    session.close();
  });

  it('that leave take their watches with them', async () => {
    const session = http2Connect(`https://127.0.0.1:${cluster.port}`, {
      ca: cluster.authority.rootsPem,
      ...(await issue(cluster.authority, 'admin', ['system:masters'])),
    });
    const before = cluster.server.store.watcherCount('configmaps');
    const watches = Array.from({ length: 10 }, () =>
      session.request({ ':path': '/api/v1/configmaps?watch=true' }),
    );
    await Promise.all(watches.map((watch) => once(watch, 'response')));
    expect(cluster.server.store.watcherCount('configmaps')).toBe(before + 10);
    session.destroy();
    while (cluster.server.store.watcherCount('configmaps') > before)
      await new Promise((resolve) => setTimeout(resolve, 5));
  });

  it('that send garbage end, and the server goes on', async () => {
    for (const garbage of [
      '\x00\x01\x02\x03',
      'GET / HTTP/9\r\n\r\n',
      'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxx',
    ]) {
      const socket = tlsConnect({
        host: '127.0.0.1',
        port: cluster.port,
        ca: cluster.authority.rootsPem,
        ALPNProtocols: garbage.startsWith('PRI') ? ['h2'] : ['http/1.1'],
      });
      socket.on('error', () => undefined);
      await once(socket, 'secureConnect');
      socket.write(garbage);
      socket.resume();
      await once(socket, 'close');
    }
    expect((await cluster.call('GET', '/readyz')).text).toBe('ok');
  });
});
