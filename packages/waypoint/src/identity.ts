import { readFileSync } from 'node:fs';
import { envoy } from '@weft/api/envoy';
import type { Secret, SecretServer } from '@weft/proxy';
import { CertificateSource, IstioCaClient, type CaClient, type WorkloadCertificate } from '@weft/spiffe';
import { WeftError, describeError, type Logger } from '@weft/telemetry';
import type { Config } from './config.ts';

const { CertificateValidationContext } = envoy.extensions.transport_sockets.tls.v3;

/** Names by which listeners and clusters of the mesh refer to the proxy's own certificate and the mesh's roots. */
const OWN_CERTIFICATE = 'default';
const MESH_ROOTS = 'ROOTCA';

/** The waypoint's own identity, as the SDS server that its TLS contexts ask. Renews at half of its life. */
export class IdentityServer implements SecretServer {
  private readonly source: CertificateSource;
  private readonly watchers = new Map<string, Set<(secret: Secret) => void>>();
  private current: WorkloadCertificate | undefined;
  private readonly config: Config;
  private readonly logger: Logger;

  constructor(o: {
    readonly config: Config;
    readonly logger: Logger;
    readonly onFirst: () => void;
    readonly client?: CaClient;
  }) {
    this.config = o.config;
    this.logger = o.logger;
    this.source = new CertificateSource({
      client: o.client ?? caClient(o.config),
      logger: o.logger,
      onCertificate: (certificate) => {
        const isFirst = this.current === undefined;
        this.current = certificate;
        o.logger.info('got certificate', {
          identity: certificate.identity,
          expires: certificate.notAfter.toISOString(),
        });
        for (const name of this.watchers.keys()) this.announce(name);
        if (isFirst) o.onFirst();
      },
    });
  }

  /** Asks for the certificate; until it comes, the source keeps asking by itself. */
  start(): void {
    this.source.get(this.config.identity).catch((error: unknown) => {
      const failure = new WeftError('WEFT2203', this.config.caAddress, { cause: error });
      this.logger.error(describeError(failure), { code: failure.code });
    });
  }

  watch(name: string, onChange: (secret: Secret) => void): () => void {
    const watchers = this.watchers.get(name) ?? new Set();
    this.watchers.set(name, watchers.add(onChange));
    queueMicrotask(() => {
      const secret = this.secret(name);
      if (secret !== undefined && watchers.has(onChange)) onChange(secret);
    });
    return () => void watchers.delete(onChange);
  }

  close(): void {
    this.source.close();
    this.watchers.clear();
  }

  private announce(name: string): void {
    const secret = this.secret(name);
    if (secret === undefined) return;
    for (const onChange of this.watchers.get(name) ?? []) onChange(secret);
  }

  private secret(name: string): Secret | undefined {
    if (this.current === undefined) return undefined;
    const { chainPem, keyPem, rootsPem } = this.current;
    if (name === OWN_CERTIFICATE) return { kind: 'certificate', chainPem, keyPem };
    if (name !== MESH_ROOTS) return undefined;
    const context = CertificateValidationContext.encode({ trustedCa: { inlineString: rootsPem } }).finish();
    return { kind: 'validation', context };
  }
}

function caClient({ caAddress, rootCertPath, tokenPath, clusterId, secretTtlMs }: Config): CaClient {
  return new IstioCaClient({
    address: caAddress,
    readRoots: () => readFileSync(rootCertPath, 'utf8'),
    readToken: () => readFileSync(tokenPath, 'utf8'),
    clusterId,
    ttlSeconds: Math.round(secretTtlMs / 1000),
    impersonate: false,
  });
}
