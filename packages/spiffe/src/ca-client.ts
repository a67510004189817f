import { X509Certificate } from 'node:crypto';
import { createSecureContext, checkServerIdentity, type PeerCertificate } from 'node:tls';
import grpc from '@grpc/grpc-js';
import { CREATE_CERTIFICATE_METHOD } from '@weft/api';
import { istio } from '@weft/api/workload';
import { WeftError } from '@weft/telemetry';
import Long from 'long';
import { createCsr } from './csr.ts';
import type { SpiffeId } from './identity.ts';
import { createKeyPair } from './keys.ts';
import { certificateBlocks } from './pem.ts';
import { workloadCertificate, type WorkloadCertificate } from './workload-certificate.ts';

export interface CaClient {
  /** A new key and a certificate for it. */
  fetchCertificate(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate>;
}

export interface IstioCaClientOptions {
  /** `host:port`, with an optional `https://` or, for tests, `http://`. */
  readonly address: string;
  /** The roots that the authority's own certificate leads to, undefined for the system's; read again for every request. */
  readonly readRoots: () => string | undefined;
  /** Another name accepted in the authority's certificate. */
  readonly alternativeHostname?: string | undefined;
  /** The bearer token; read again for every request, as the kubelet rotates it. */
  readonly readToken?: (() => string) | undefined;
  readonly clusterId: string;
  readonly headers?: ReadonlyMap<string, string>;
  readonly ttlSeconds?: number;
  /** Ask for other identities than the caller's own, as a node proxy has to. */
  readonly impersonate: boolean;
}

const SECRET_TTL_SECONDS = 86_400;
const REQUEST_TIMEOUT_MS = 10_000;

type CertificateRequest = istio.v1.auth.IstioCertificateRequest;
type CertificateResponse = istio.v1.auth.IstioCertificateResponse;
const { IstioCertificateRequest, IstioCertificateResponse } = istio.v1.auth;

/** `istio.v1.auth.IstioCertificateService` over one kept channel, made anew when the roots change. */
export class IstioCaClient implements CaClient {
  private readonly options: IstioCaClientOptions;
  private channel: { readonly rootsPem: string | undefined; readonly client: grpc.Client } | undefined;

  constructor(options: IstioCaClientOptions) {
    this.options = options;
  }

  /** @throws WEFT1604 when the authority can't be reached or refuses, WEFT1605 when its answer is unusable */
  async fetchCertificate(identity: SpiffeId, signal: AbortSignal): Promise<WorkloadCertificate> {
    const { ttlSeconds = SECRET_TTL_SECONDS, impersonate } = this.options;
    const keyPair = await createKeyPair();
    const request = IstioCertificateRequest.create({
      csr: createCsr(keyPair, identity),
      validityDuration: Long.fromNumber(ttlSeconds),
      metadata: impersonate ? { fields: { ImpersonatedIdentity: { stringValue: identity } } } : null,
    });
    const response = await this.call(request, identity, signal);
    return workloadCertificate(identity, keyPair.privateKey, response.certChain);
  }

  close(): void {
    this.channel?.client.close();
    this.channel = undefined;
  }

  private call(
    request: CertificateRequest,
    identity: SpiffeId,
    signal: AbortSignal,
  ): Promise<CertificateResponse> {
    const client = this.currentClient();
    const metadata = this.metadata();
    return new Promise((resolve, reject) => {
      const call = client.makeUnaryRequest(
        CREATE_CERTIFICATE_METHOD,
        (message: CertificateRequest) => Buffer.from(IstioCertificateRequest.encode(message).finish()),
        (bytes: Buffer) => IstioCertificateResponse.decode(bytes),
        request,
        metadata,
        { deadline: Date.now() + REQUEST_TIMEOUT_MS },
        (error, response) => {
          signal.removeEventListener('abort', cancel);
          if (response !== undefined && error === null) return resolve(response);
          const reason = error === null ? 'no answer' : `${grpc.status[error.code]} ${error.details}`;
          reject(
            new WeftError('WEFT1604', `${identity}: ${this.options.address}: ${reason}`, { cause: error }),
          );
        },
      );
      const cancel = (): void => call.cancel();
      if (signal.aborted) cancel();
      else signal.addEventListener('abort', cancel, { once: true });
    });
  }

  private metadata(): grpc.Metadata {
    const { readToken, clusterId, headers } = this.options;
    const metadata = new grpc.Metadata();
    metadata.set('clusterid', clusterId);
    if (readToken !== undefined) metadata.set('authorization', `Bearer ${readToken().trimEnd()}`);
    for (const [name, value] of headers ?? []) metadata.set(name, value);
    return metadata;
  }

  // New roots that can't be used, in the middle of a file's replacement, must not cost a channel that works.
  private currentClient(): grpc.Client {
    const { address, readRoots, alternativeHostname } = this.options;
    const target = address.replace(/^https?:\/\//, '');
    try {
      const rootsPem = address.startsWith('http://') ? '' : readRoots();
      if (this.channel === undefined || this.channel.rootsPem !== rootsPem) {
        const credentials = address.startsWith('http://')
          ? grpc.credentials.createInsecure()
          : serverTrust({ rootsPem, alternativeHostname });
        const client = new grpc.Client(target, credentials);
        this.channel?.client.close();
        this.channel = { rootsPem, client };
      }
    } catch (error) {
      if (this.channel === undefined) {
        throw new WeftError('WEFT1604', `the roots for ${address} cannot be used`, { cause: error });
      }
    }
    return this.channel.client;
  }
}

/**
 * TLS 1.3 credentials that trust these roots, and accept a second name in the server's certificate.
 * @throws WEFT1603, or the parser's error, when the roots can't be read
 */
export function serverTrust(o: {
  /** Undefined for the system's own. */
  readonly rootsPem: string | undefined;
  readonly alternativeHostname?: string | undefined;
}): grpc.ChannelCredentials {
  // OpenSSL skips over what it can't read, which would leave a channel that trusts nobody.
  if (o.rootsPem !== undefined) {
    const roots = certificateBlocks(o.rootsPem).map((pem) => new X509Certificate(pem));
    if (roots.length === 0) throw new WeftError('WEFT1603', 'the root file holds no certificate');
  }
  const context = createSecureContext({
    minVersion: 'TLSv1.3',
    ...(o.rootsPem === undefined ? {} : { ca: o.rootsPem }),
  });
  return grpc.credentials.createFromSecureContext(context, {
    checkServerIdentity: (host: string, certificate: PeerCertificate) => {
      const mismatch = checkServerIdentity(host, certificate);
      if (mismatch === undefined || o.alternativeHostname === undefined) return mismatch;
      return checkServerIdentity(o.alternativeHostname, certificate);
    },
  });
}
