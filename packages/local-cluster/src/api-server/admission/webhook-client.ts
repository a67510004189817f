import { request as httpsRequest, type RequestOptions } from 'node:https';
import { isIP } from 'node:net';
import {
  isObject,
  numberAt,
  objectAt,
  objectKey,
  objectsAt,
  stringAt,
  stringsAt,
  valueAt,
  type JsonObject,
  type JsonValue,
} from '../object.ts';
import type { Store } from '../store/store.ts';

const DEFAULT_TIMEOUT_SECONDS = 10;
const MAX_RESPONSE_BYTES = 4 * 1024 * 1024;
const SERVICE_NAME_LABEL = 'kubernetes.io/service-name';

interface Target {
  readonly url: URL;
  /** Where the connection goes; the URL's host is what the certificate must name. */
  readonly connect: { readonly host: string; readonly port: number };
}

/** Calls webhooks by their `clientConfig`: a Service, resolved to one of its ready endpoints, or a URL. */
export class WebhookClient {
  private readonly store: Store;
  private nextEndpoint = 0;

  constructor(store: Store) {
    this.store = store;
  }

  /** The `response` of an AdmissionReview. Rejects when there is none that can be used. */
  async review(webhook: JsonObject, review: JsonObject): Promise<JsonObject> {
    const seconds = numberAt(webhook, 'timeoutSeconds') ?? DEFAULT_TIMEOUT_SECONDS;
    const config = objectAt(webhook, 'clientConfig') ?? {};
    const { url, connect } = this.target(config);
    url.searchParams.set('timeout', `${seconds}s`);
    const bundle = stringAt(config, 'caBundle') ?? '';
    let answer: JsonValue;
    try {
      answer = await post(
        url,
        connect,
        bundle === '' ? undefined : Buffer.from(bundle, 'base64').toString('utf8'),
        review,
        seconds * 1000,
      );
    } catch (error) {
      throw new Error(`Post "${url.href}": ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
    const response = objectAt(answer, 'response');
    if (response === undefined) throw new Error('webhook response is absent');
    if (response['uid'] !== valueAt(review, 'request', 'uid'))
      throw new Error('webhook response has another uid');
    return response;
  }

  private target(config: JsonObject): Target {
    const address = stringAt(config, 'url');
    if (address !== undefined) {
      const url = new URL(address);
      return { url, connect: { host: url.hostname, port: url.port === '' ? 443 : Number(url.port) } };
    }
    const service = objectAt(config, 'service') ?? {};
    const name = stringAt(service, 'name') ?? '';
    const namespace = stringAt(service, 'namespace') ?? '';
    const port = numberAt(service, 'port') ?? 443;
    const path = stringAt(service, 'path') ?? '/';
    const url = new URL(`https://${name}.${namespace}.svc:${port}`);
    url.pathname = path;
    return { url, connect: this.endpoint(namespace, name, port) };
  }

  private endpoint(namespace: string, name: string, port: number): Target['connect'] {
    const service = this.store.get('services', objectKey(namespace, name));
    if (service === undefined) throw new Error(`service "${name}" not found`);
    const servicePort = objectsAt(service, 'spec', 'ports').find((candidate) => candidate['port'] === port);
    if (servicePort === undefined) throw new Error(`service "${name}" has no port ${port}`);
    const portName = stringAt(servicePort, 'name') ?? '';
    const endpoints = this.store
      .list('endpointslices.discovery.k8s.io', namespace)
      .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME_LABEL] === name)
      .flatMap((slice) => {
        const target = objectsAt(slice, 'ports').find(
          (candidate) => (stringAt(candidate, 'name') ?? '') === portName,
        );
        const number = numberAt(target, 'port');
        if (number === undefined) return [];
        return objectsAt(slice, 'endpoints')
          .filter((endpoint) => valueAt(endpoint, 'conditions', 'ready') !== false)
          .flatMap((endpoint) => stringsAt(endpoint, 'addresses').map((host) => ({ host, port: number })));
      });
    this.nextEndpoint += 1;
    const chosen = endpoints[this.nextEndpoint % endpoints.length];
    if (chosen === undefined) throw new Error(`no endpoints available for service "${name}"`);
    return chosen;
  }
}

function post(
  url: URL,
  connect: Target['connect'],
  ca: string | undefined,
  body: JsonObject,
  timeoutMs: number,
): Promise<JsonValue> {
  const text = JSON.stringify(body);
  const options: RequestOptions = {
    method: 'POST',
    host: connect.host,
    port: connect.port,
    path: `${url.pathname}${url.search}`,
    headers: {
      host: url.host,
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    },
    // SNI holds names only (RFC 6066, 3).
    ...(isIP(url.hostname) === 0 ? { servername: url.hostname } : {}),
    ...(ca === undefined ? {} : { ca }),
    agent: false,
    signal: AbortSignal.timeout(timeoutMs),
  };
  return new Promise((resolve, reject) => {
    const request = httpsRequest(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      response.on('data', (chunk: Buffer) => {
        size += chunk.length;
        if (size > MAX_RESPONSE_BYTES) response.destroy(new Error('webhook response is too large'));
        else chunks.push(chunk);
      });
      response.on('error', reject);
      response.on('end', () => {
        try {
          if (response.statusCode !== 200)
            throw new Error(`expected webhook response of status 200, got ${response.statusCode ?? 0}`);
          const value = JSON.parse(Buffer.concat(chunks).toString('utf8')) as JsonValue; // JSON.parse gives JSON
          if (!isObject(value)) throw new Error('expected an AdmissionReview');
          resolve(value);
        } catch (error) {
          reject(error as Error); // thrown above, or a SyntaxError
        }
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}
