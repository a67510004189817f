import grpc from '@grpc/grpc-js';
import { CREATE_CERTIFICATE_METHOD } from '@weft/api';
import { istio } from '@weft/api/workload';
import { certificateBlocks, verifyCsr } from '@weft/spiffe';
import { type Clock, type Logger, WeftError, describeError } from '@weft/telemetry';
import { certifiedIdentity, type IdentityContext } from './certified-identity.ts';
import type { CertificateMetrics } from './certificate-metrics.ts';
import { type CallerAuthenticator, type Credentials, addressOfPeer } from './caller-authenticator.ts';
import { CallerRates } from './caller-rates.ts';
import type { MeshAuthority } from './mesh-authority.ts';
import { unitedRoots } from './rotation.ts';
import { type Caller, describeCaller } from './token-authenticator.ts';

export interface CertificateServiceOptions {
  readonly authority: Pick<MeshAuthority, 'sign' | 'rootsPem'>;
  readonly authenticator: CallerAuthenticator;
  readonly identities: IdentityContext;
  /** Roots that workloads trust besides the authority's, each in PEM. */
  readonly trustAnchors: () => readonly string[];
  readonly defaultTtlMs: number;
  readonly maxTtlMs: number;
  readonly metrics: CertificateMetrics;
  readonly clock: Clock;
  readonly logger: Logger;
}

type CertificateRequest = istio.v1.auth.IstioCertificateRequest;
type CertificateResponse = istio.v1.auth.IstioCertificateResponse;
const { IstioCertificateRequest, IstioCertificateResponse } = istio.v1.auth;

export const certificateServiceDefinition = {
  CreateCertificate: {
    path: CREATE_CERTIFICATE_METHOD,
    requestStream: false,
    responseStream: false,
    requestSerialize: (message: CertificateRequest) =>
      Buffer.from(IstioCertificateRequest.encode(message).finish()),
    requestDeserialize: (bytes: Buffer) => IstioCertificateRequest.decode(bytes),
    responseSerialize: (message: CertificateResponse) =>
      Buffer.from(IstioCertificateResponse.encode(message).finish()),
    responseDeserialize: (bytes: Buffer) => IstioCertificateResponse.decode(bytes),
  },
} as const satisfies grpc.ServiceDefinition;

/** Requests in progress, each of which costs the API server a TokenReview. */
const MAX_CONCURRENT_REQUESTS = 256;

/** `istio.v1.auth.IstioCertificateService`. Callers learn nothing of why they were refused; the log has it all. */
export class CertificateService {
  readonly implementation: grpc.UntypedServiceImplementation;
  private readonly options: CertificateServiceOptions;
  private readonly rates: CallerRates;
  private inProgress = 0;

  constructor(options: CertificateServiceOptions) {
    this.options = options;
    this.rates = new CallerRates(options.clock);
    this.implementation = {
      CreateCertificate: (
        call: grpc.ServerUnaryCall<CertificateRequest, CertificateResponse>,
        callback: grpc.sendUnaryData<CertificateResponse>,
      ) => void this.handle(call, callback),
    };
  }

  private async handle(
    call: grpc.ServerUnaryCall<CertificateRequest, CertificateResponse>,
    callback: grpc.sendUnaryData<CertificateResponse>,
  ): Promise<void> {
    const { metrics, logger } = this.options;
    if (this.inProgress >= MAX_CONCURRENT_REQUESTS) {
      return callback({
        code: grpc.status.RESOURCE_EXHAUSTED,
        details: 'too many certificate requests, try again',
      });
    }
    this.inProgress++;
    metrics.requests.inc();
    const gone = new AbortController();
    call.on('cancelled', () => gone.abort());
    try {
      callback(null, await this.certify(call.request, credentialsOf(call), gone.signal));
    } catch (error) {
      logger.warn('certificate refused', { peer: call.getPeer(), error: describeError(error) });
      callback(refusal(error, metrics));
    } finally {
      this.inProgress--;
    }
  }

  private async certify(
    request: CertificateRequest,
    credentials: Credentials,
    signal: AbortSignal,
  ): Promise<CertificateResponse> {
    const { authority, authenticator, identities, trustAnchors, metrics, logger } = this.options;
    const caller = await authenticator.authenticate(credentials, 'WEFT1803', signal);
    if (!this.rates.take(describeCaller(caller)))
      throw new WeftError('WEFT1808', `${describeCaller(caller)} has to wait`);
    const requested = request.metadata?.fields?.['ImpersonatedIdentity']?.stringValue ?? undefined;
    const identity = certifiedIdentity(caller, requested, identities);
    const ttlMs = this.lifetime(request, caller);
    const { publicKey } = verifyCsr(request.csr);
    const { leafPem, intermediatesPem, notAfter } = authority.sign({ publicKey, uriSans: [identity], ttlMs });
    metrics.issued.inc();
    logger.info('certificate issued', {
      identity,
      caller: describeCaller(caller),
      notAfter: notAfter.toISOString(),
    });
    // Leaf first, then one element for each intermediate; the last holds all roots.
    const roots = unitedRoots(certificateBlocks(authority.rootsPem), trustAnchors()).join('');
    return IstioCertificateResponse.create({ certChain: [leafPem, ...intermediatesPem, roots] });
  }

  private lifetime(request: CertificateRequest, caller: Caller): number {
    const { defaultTtlMs, maxTtlMs } = this.options;
    const seconds = Number(request.validityDuration); // a Long prints as its number
    if (!(seconds > 0)) return defaultTtlMs;
    if (seconds * 1_000 > maxTtlMs) {
      const asked = `${describeCaller(caller)} asked for ${seconds} s`;
      throw new WeftError('WEFT1805', `${asked}, the longest lifetime is ${maxTtlMs / 1_000} s`);
    }
    return seconds * 1_000;
  }
}

/** Of any call: what authenticates who makes it. */
export function credentialsOf(
  call: Pick<grpc.ServerUnaryCall<unknown, unknown>, 'metadata' | 'getPeer' | 'getAuthContext'>,
): Credentials {
  const header = (name: string): string | undefined => call.metadata.get(name)[0]?.toString();
  return {
    authorization: header('authorization'),
    certificate: call.getAuthContext()?.sslPeerCertificate,
    forwardedCertificate: header('x-forwarded-client-cert'),
    address: addressOfPeer(call.getPeer()),
  };
}

function refusal(error: unknown, metrics: CertificateMetrics): Partial<grpc.StatusObject> {
  switch (WeftError.is(error) ? error.code : undefined) {
    case 'WEFT1803':
      metrics.authenticationFailures.inc();
      return unauthenticated;
    case 'WEFT1804':
      metrics.identityFailures.inc();
      return unauthenticated;
    case 'WEFT1602':
      metrics.unreadableRequests.inc();
      return { code: grpc.status.INVALID_ARGUMENT, details: 'CSR parsing error' };
    case 'WEFT1805':
      metrics.signFailures.inc();
      return { code: grpc.status.INVALID_ARGUMENT, details: 'the requested lifetime is too long' };
    case 'WEFT1808':
      return { code: grpc.status.RESOURCE_EXHAUSTED, details: 'too many certificate requests, try again' };
    case 'WEFT1807':
      return { code: grpc.status.UNAVAILABLE, details: 'the caller cannot be authenticated now, try again' };
    default:
      metrics.signFailures.inc();
      return { code: grpc.status.INTERNAL, details: 'CSR signing error' };
  }
}

const unauthenticated = {
  code: grpc.status.UNAUTHENTICATED,
  details: 'request authenticate failure',
} as const;
