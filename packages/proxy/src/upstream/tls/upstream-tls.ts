import { createSecureContext, type SecureContext } from 'node:tls';
import { envoy } from '@weft/api/envoy';
import type { Secret, SecretProvider, SecretReference } from '../../engine/types.ts';
import {
  type CertificatePair,
  type CertificateValidation,
  compileValidation,
  mergeValidation,
  type UpstreamTlsConfig,
} from '../config/tls-context.ts';

const { CertificateValidationContext } = envoy.extensions.transport_sockets.tls.v3;

/** What a handshake needs. Immutable: a rotation makes a new one, connections keep theirs. */
export interface TlsMaterial {
  readonly secureContext: SecureContext;
  readonly validation: CertificateValidation | undefined;
  readonly certificate: CertificatePair | undefined;
}

/**
 * The client side of a TLS context: its configuration with the secrets as they are now.
 *
 *   waiting (a secret is missing) ──► ready ──secret changes──► ready
 *
 * `onReady` comes when the last missing secret does; a secret that cannot be used leaves the last good one in force.
 */
export class UpstreamTls {
  readonly config: UpstreamTlsConfig;
  private readonly subscriptions: (() => void)[] = [];
  private readonly onReady: () => void;
  private readonly onBadSecret: (error: unknown) => void;
  private certificate: CertificatePair | undefined;
  private validation: CertificateValidation | undefined;
  private waitsForCertificate: boolean;
  private waitsForValidation: boolean;
  private material: TlsMaterial | undefined;

  constructor(o: {
    readonly config: UpstreamTlsConfig;
    readonly secrets: SecretProvider;
    readonly onReady: () => void;
    /** A secret did not come in time; it may later. */
    readonly onMissing?: () => void;
    readonly onBadSecret: (error: unknown) => void;
  }) {
    const { config, secrets } = o;
    this.config = config;
    this.onReady = o.onReady;
    this.onBadSecret = o.onBadSecret;
    const { certificate, validation } = config;
    if (certificate !== undefined && 'inline' in certificate) this.certificate = certificate.inline;
    if (validation !== undefined && validation.sds === undefined) {
      this.validation = compileValidation(validation.base ?? {});
    }
    this.waitsForCertificate = certificate !== undefined && 'sds' in certificate;
    this.waitsForValidation = validation?.sds !== undefined;
    if (!this.waitsForCertificate && !this.waitsForValidation) this.material = this.build();
    if (certificate !== undefined && 'sds' in certificate) {
      this.watch(secrets, certificate.sds, o.onMissing, (secret) => {
        if (secret.kind === 'certificate') this.setCertificate(secret);
      });
    }
    if (validation?.sds !== undefined) {
      this.watch(secrets, validation.sds, o.onMissing, (secret) => {
        if (secret.kind === 'validation') this.setValidation(secret.context);
      });
    }
  }

  /** Undefined while a secret is missing: handshakes fail. */
  get current(): TlsMaterial | undefined {
    return this.material;
  }

  get isReady(): boolean {
    return this.material !== undefined;
  }

  close(): void {
    for (const stop of this.subscriptions) stop();
    this.subscriptions.length = 0;
  }

  private watch(
    secrets: SecretProvider,
    reference: SecretReference,
    onMissing: (() => void) | undefined,
    apply: (secret: Secret) => void,
  ): void {
    this.subscriptions.push(
      secrets.watch(reference, (secret) => this.change(() => apply(secret)), onMissing),
    );
  }

  private change(apply: () => void): void {
    const before = { certificate: this.certificate, validation: this.validation };
    const wasReady = this.isReady;
    try {
      apply();
      if (this.waitsForCertificate || this.waitsForValidation) return;
      this.material = this.build();
    } catch (error) {
      this.certificate = before.certificate;
      this.validation = before.validation;
      this.onBadSecret(error);
      return;
    }
    if (!wasReady) this.onReady();
  }

  private setCertificate(pair: CertificatePair): void {
    createSecureContext({ cert: pair.chainPem, key: pair.keyPem });
    this.certificate = pair;
    this.waitsForCertificate = false;
  }

  private setValidation(context: Uint8Array): void {
    const secret = CertificateValidationContext.decode(context);
    this.validation = compileValidation(mergeValidation(this.config.validation?.base ?? {}, secret));
    this.waitsForValidation = false;
  }

  private build(): TlsMaterial {
    const { config, certificate, validation } = this;
    const secureContext = createSecureContext({
      minVersion: config.minVersion,
      maxVersion: config.maxVersion,
      ...(validation?.trustedCaPem === undefined ? {} : { ca: validation.trustedCaPem }),
      ...(validation?.crlPem === undefined ? {} : { crl: validation.crlPem }),
      ...(certificate === undefined ? {} : { cert: certificate.chainPem, key: certificate.keyPem }),
      ...(config.ciphers === undefined ? {} : { ciphers: config.ciphers }),
      ...(config.ecdhCurves === undefined ? {} : { ecdhCurve: config.ecdhCurves }),
      ...(config.signatureAlgorithms === undefined ? {} : { sigalgs: config.signatureAlgorithms }),
    });
    return { secureContext, validation, certificate };
  }
}
