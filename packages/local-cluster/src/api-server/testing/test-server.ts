import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';
import { ApiServer, type ApiServerOptions } from '../api-server.ts';
import { isObject, type JsonObject, type JsonValue } from '../object.ts';

const HOUR_MS = 3_600_000;

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: JsonObject;
  readonly text: string;
}

export interface CallOptions {
  readonly body?: JsonValue | undefined;
  readonly contentType?: string;
  readonly accept?: string;
  /** Instead of the administrator's certificate. */
  readonly token?: string;
  readonly as?: string;
}

export interface WatchEvent {
  readonly type: string;
  readonly object: JsonObject;
}

/** An API server on a loopback port, with its own authority, an administrator, and a directory that `stop` removes. */
export class TestServer {
  readonly directory: string;
  readonly port: number;
  readonly authority: CertificateAuthority;
  readonly server: ApiServer;
  private readonly admin: { readonly cert: string; readonly key: string };

  private constructor(
    directory: string,
    authority: CertificateAuthority,
    server: ApiServer,
    admin: { readonly cert: string; readonly key: string },
  ) {
    this.directory = directory;
    this.authority = authority;
    this.server = server;
    this.port = server.addresses[0]?.port ?? 0;
    this.admin = admin;
  }

  static async start(options: Partial<ApiServerOptions> = {}): Promise<TestServer> {
    const directory = await mkdtemp(join(tmpdir(), 'weft-api-server-'));
    const signingKey = privateKeyPem((await createKeyPair()).privateKey);
    const authority = await CertificateAuthority.createSelfSigned({
      subject: { commonName: 'test-ca' },
      keyPem: signingKey,
    });
    const serving = await issue(authority, 'kube-apiserver', []);
    const admin = await issue(authority, 'admin', ['system:masters']);
    const server = await ApiServer.start({
      tls: { certificateChainPem: serving.cert, privateKeyPem: serving.key, clientCaPem: authority.rootsPem },
      serviceAccountKeys: { privateKeyPem: signingKey },
      listeners: [{ kind: 'address', host: '127.0.0.1', port: 0 }],
      ...options,
    });
    return new TestServer(directory, authority, server, admin);
  }

  async stop(): Promise<void> {
    await this.server.close();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** One request as the administrator, unless told otherwise. */
  call(method: string, path: string, options: CallOptions = {}): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const text = options.body === undefined ? undefined : JSON.stringify(options.body);
      const { headers, ...rest } = this.requestOptions(options);
      // Node frames the body of a DELETE only when its length is given.
      const length = text === undefined ? {} : { 'content-length': Buffer.byteLength(text) };
      const request = httpsRequest(
        { ...rest, headers: { ...headers, ...length }, method, path },
        (response) => {
          const chunks: Buffer[] = [];
          response.on('data', (chunk: Buffer) => chunks.push(chunk));
          response.on('error', reject);
          response.on('end', () => {
            const received = Buffer.concat(chunks).toString('utf8');
            resolve({
              status: response.statusCode ?? 0,
              headers: response.headers,
              body: parsed(received),
              text: received,
            });
          });
        },
      );
      request.on('error', reject);
      request.end(text);
    });
  }

  /** As `call`, for a request that must succeed. */
  async ok(method: string, path: string, options: CallOptions = {}): Promise<JsonObject> {
    const { status, body, text } = await this.call(method, path, options);
    if (status >= 300) throw new Error(`${method} ${path}: ${status} ${text}`);
    return body;
  }

  /** Events of a watch until `enough` says so, or the server ends it. */
  watch(
    path: string,
    enough: (events: readonly WatchEvent[]) => boolean,
    options: CallOptions = {},
  ): Promise<WatchEvent[]> {
    return new Promise((resolve, reject) => {
      const events: WatchEvent[] = [];
      let rest = '';
      const request = httpsRequest({ ...this.requestOptions(options), method: 'GET', path }, (response) => {
        response.setEncoding('utf8');
        response.on('data', (text: string) => {
          const lines = (rest + text).split('\n');
          rest = lines.pop() ?? '';
          for (const line of lines) events.push(JSON.parse(line) as WatchEvent); // a line is an event
          if (!enough(events)) return;
          resolve(events);
          request.destroy();
        });
        response.on('end', () => resolve(events));
        response.on('error', reject);
      });
      request.on('error', reject);
      request.end();
    });
  }

  /** A kubeconfig for the administrator; its path. */
  async kubeconfig(): Promise<string> {
    const path = join(this.directory, 'kubeconfig');
    const data = (pem: string) => Buffer.from(pem).toString('base64');
    const config = {
      apiVersion: 'v1',
      kind: 'Config',
      clusters: [
        {
          name: 'test',
          cluster: {
            server: `https://127.0.0.1:${this.port}`,
            'certificate-authority-data': data(this.authority.rootsPem),
          },
        },
      ],
      users: [
        {
          name: 'admin',
          user: { 'client-certificate-data': data(this.admin.cert), 'client-key-data': data(this.admin.key) },
        },
      ],
      contexts: [{ name: 'test', context: { cluster: 'test', user: 'admin' } }],
      'current-context': 'test',
    };
    await writeFile(path, JSON.stringify(config), { mode: 0o600 });
    return path;
  }

  private requestOptions({ contentType, accept, token, as, body }: CallOptions) {
    return {
      host: '127.0.0.1',
      port: this.port,
      ca: this.authority.rootsPem,
      agent: false as const,
      ...(token === undefined ? { cert: this.admin.cert, key: this.admin.key } : {}),
      headers: {
        ...(body === undefined ? {} : { 'content-type': contentType ?? 'application/json' }),
        ...(accept === undefined ? {} : { accept }),
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(as === undefined ? {} : { 'impersonate-user': as }),
      },
    };
  }
}

export async function issue(
  authority: CertificateAuthority,
  commonName: string,
  organizations: readonly string[],
  dnsSans: readonly string[] = [],
) {
  const { publicKey, privateKey } = await createKeyPair();
  const { chainPem } = authority.sign({
    publicKey,
    ttlMs: HOUR_MS,
    subject: { commonName, organizations: [...organizations] },
    dnsSans: ['localhost', ...dnsSans],
    ipSans: ['127.0.0.1'],
  });
  return { cert: chainPem, key: privateKeyPem(privateKey) };
}

function parsed(text: string): JsonObject {
  try {
    const value = JSON.parse(text) as JsonValue; // JSON.parse gives JSON
    return isObject(value) ? value : {};
  } catch {
    return {};
  }
}

export function namespaceObject(name: string): JsonObject {
  return { apiVersion: 'v1', kind: 'Namespace', metadata: { name } };
}

export function configMap(name: string, data: JsonObject, metadata: JsonObject = {}): JsonObject {
  return { apiVersion: 'v1', kind: 'ConfigMap', metadata: { name, ...metadata }, data };
}
