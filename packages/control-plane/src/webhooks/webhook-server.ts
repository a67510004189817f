import { type IncomingMessage, type Server as HttpServer, type ServerResponse } from 'node:http';
import { type Server, createServer } from 'node:https';
import {
  Counter,
  type Logger,
  type PrometheusRegistry,
  describeError,
  listenOn,
  readBody,
} from '@weft/telemetry';
import type { ServingCertificates } from '../ca/serving-certificate.ts';
import { type AdmissionRequest, type AdmissionResponse, parseAdmissionReview } from './admission.ts';

export interface WebhookServerOptions {
  readonly certificates: ServingCertificates;
  readonly admit: (request: AdmissionRequest) => AdmissionResponse;
  readonly registry: PrometheusRegistry;
  readonly logger: Logger;
}

/** The API server's own limit for a request, with room for the review around the object and its predecessor. */
const MAX_REVIEW_BYTES = 8 * 1024 * 1024;
const MAX_CONNECTIONS = 200;
const REQUEST_TIMEOUT_MS = 10_000;

/** HTTPS for the API server: `POST /validate`. */
export class WebhookServer {
  private readonly server: Server;
  private readonly stopCertificates: () => void;
  private readonly passed: Counter;
  private readonly failed: Counter;
  private readonly options: WebhookServerOptions;

  constructor(options: WebhookServerOptions) {
    this.options = options;
    const { registry } = options;
    this.passed = new Counter({
      name: 'galley_validation_passed',
      help: 'Objects that validation accepted',
      labelNames: ['kind'],
      registers: [registry],
    });
    this.failed = new Counter({
      name: 'galley_validation_failed',
      help: 'Objects that validation refused',
      labelNames: ['kind'],
      registers: [registry],
    });
    const timeouts = { headersTimeout: REQUEST_TIMEOUT_MS, requestTimeout: REQUEST_TIMEOUT_MS };
    this.server = createServer({ minVersion: 'TLSv1.2', ...timeouts }, (request, response) => {
      void this.respond(request, response);
    });
    this.server.maxConnections = MAX_CONNECTIONS;
    this.stopCertificates = options.certificates.subscribe(({ keyPem, chainPem }) => {
      this.server.setSecureContext({ key: keyPem, cert: chainPem, minVersion: 'TLSv1.2' });
    });
  }

  /** Resolves to the bound port. */
  listen(port: number): Promise<number> {
    return listenOn(this.server, port);
  }

  async close(): Promise<void> {
    this.stopCertificates();
    const server: Pick<HttpServer, 'closeAllConnections'> = this.server;
    server.closeAllConnections();
    await new Promise<void>((resolve) => {
      this.server.close(() => resolve());
    });
  }

  private async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { admit, logger } = this.options;
    const send = (status: number, contentType: string, body: string): void => {
      response.writeHead(status, { 'content-type': contentType, 'content-length': Buffer.byteLength(body) });
      response.end(body);
    };
    try {
      const [path] = (request.url ?? '').split('?');
      if (path !== '/validate' && !path?.startsWith('/validate/'))
        return send(404, 'text/plain', 'not found\n');
      if (request.method !== 'POST') return send(405, 'text/plain', 'POST only\n');
      const body = await readBody(request, MAX_REVIEW_BYTES);
      if (body === undefined) return send(413, 'text/plain', 'body too large\n');
      const review = parseAdmissionReview(body);
      const answer = admit(review);
      (answer.allowed ? this.passed : this.failed).inc({ kind: review.kind.kind });
      if (!answer.allowed) {
        const { namespace = '', kind, object } = review;
        const name = `${namespace}/${object?.metadata.name ?? ''}`;
        logger.info('object refused', { kind: kind.kind, name, reason: answer.status?.message });
      }
      const result = { apiVersion: 'admission.k8s.io/v1', kind: 'AdmissionReview', response: answer };
      send(200, 'application/json', JSON.stringify(result));
    } catch (error) {
      logger.warn('admission request failed', { error: describeError(error) });
      if (!response.headersSent) send(400, 'text/plain', `${describeError(error)}\n`);
      else response.destroy();
    }
  }
}
