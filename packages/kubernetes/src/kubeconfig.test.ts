import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { inClusterConnection } from './connection.ts';
import { loadKubeConfig } from './kubeconfig.ts';

let dir: string;
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'weft-kubeconfig-'));
});
afterEach(() => {
  rmSync(dir, { recursive: true });
});

function file(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}
const base64 = (text: string): string => Buffer.from(text).toString('base64');

const complete = `
apiVersion: v1
kind: Config
current-context: one
contexts:
  - { name: one, context: { cluster: c, user: cert, namespace: shop } }
  - { name: two, context: { cluster: c, user: file } }
  - { name: plugin, context: { cluster: c, user: exec } }
  - { name: dangling, context: { cluster: nowhere, user: cert } }
clusters:
  - { name: c, cluster: { server: 'https://[::1]:6443', certificate-authority: ca.pem, tls-server-name: api } }
users:
  - { name: cert, user: { client-certificate-data: ${base64('CERT')}, client-key-data: ${base64('KEY')} } }
  - { name: file, user: { tokenFile: token } }
  - { name: exec, user: { exec: { command: aws } } }
`;

describe('loadKubeConfig', () => {
  it('reads the current context with inline and relative credentials', () => {
    file('ca.pem', 'CA');
    const connection = loadKubeConfig({ path: file('config', complete) });
    expect(connection).toEqual({
      server: 'https://[::1]:6443',
      namespace: 'shop',
      context: 'one',
      tls: { ca: 'CA', cert: 'CERT', key: 'KEY', serverName: 'api' },
    });
  });

  it('reads a token file again for every request', () => {
    file('ca.pem', 'CA');
    file('token', 'first\n');
    const connection = loadKubeConfig({ path: file('config', complete), context: 'two' });
    expect([connection.namespace, connection.token?.()]).toEqual(['default', 'first']);
    file('token', 'second\n');
    expect(connection.token?.()).toBe('second');
  });

  it('merges the files of KUBECONFIG, the first one winning, and skips missing ones', () => {
    const first = file('first', 'current-context: two\nusers: [{ name: file, user: { token: inline } }]\n');
    file('ca.pem', 'CA');
    const env = { KUBECONFIG: [join(dir, 'missing'), first, file('second', complete)].join(':') };
    const connection = loadKubeConfig({ env });
    expect([connection.context, connection.token?.(), connection.tls.ca]).toEqual(['two', 'inline', 'CA']);
  });

  it('falls back to ~/.kube/config', () => {
    expect(() => loadKubeConfig({ env: { HOME: dir } })).toThrow(join(dir, '.kube', 'config'));
  });

  it.each([
    ['plugin', /credential plugins \(exec\)/],
    ['dangling', /no cluster "nowhere"/],
    ['absent', /no context "absent"/],
  ])('names the fault of context %s', (context, message) => {
    file('ca.pem', 'CA');
    expect(() => loadKubeConfig({ path: file('config', complete), context })).toThrow(message);
  });

  it('refuses text that is not YAML', () => {
    expect(() => loadKubeConfig({ path: file('config', 'a: [') })).toThrow(/is not YAML/);
  });
});

describe('inClusterConnection', () => {
  it('uses the mounted service account and re-reads its token', () => {
    file('ca.crt', 'CA');
    file('namespace', 'shop');
    file('token', 't1\n');
    const env = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '443' };
    const connection = inClusterConnection({ env, directory: dir });
    expect(connection).toMatchObject({
      server: 'https://[fd00::1]:443',
      namespace: 'shop',
      tls: { ca: 'CA' },
    });
    file('token', 't2\n');
    expect(connection.token?.()).toBe('t2');
  });

  it('says so outside a pod', () => {
    expect(() => inClusterConnection({ env: {} })).toThrow(/KUBERNETES_SERVICE_HOST/);
  });
});
