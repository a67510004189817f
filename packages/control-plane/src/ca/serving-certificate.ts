import { createKeyPair, privateKeyPem } from '@weft/spiffe';
import { type Clock, type Logger, describeError } from '@weft/telemetry';
import type { MeshAuthority } from './mesh-authority.ts';

export interface ServingCertificate {
  readonly keyPem: string;
  readonly chainPem: string;
  readonly notAfter: Date;
}

export interface ServingCertificateOptions {
  readonly authority: Pick<MeshAuthority, 'sign' | 'subscribe'>;
  readonly dnsNames: readonly string[];
  readonly ttlMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

const RETRY_MS = 10_000;

/** Names by which proxies and the API server reach us. */
export function servingNames(namespace: string, revision: string, clusterDomain: string): string[] {
  const services = ['istiod', 'istiod-remote', 'istio-pilot'];
  if (revision !== '' && revision !== 'default') services.push(`istiod-${revision}`);
  return services.flatMap((service) => {
    const name = `${service}.${namespace}.svc`;
    return [name, `${name}.${clusterDomain}`];
  });
}

/** Our own TLS certificate, renewed at half of its life and with the authority; listeners get each new one. */
export class ServingCertificates {
  private readonly options: ServingCertificateOptions;
  private readonly listeners = new Set<(certificate: ServingCertificate) => void>();
  private certificate: ServingCertificate;
  private readonly unsubscribe: () => void;
  private cancelTimer: () => void = () => undefined;
  private closed = false;

  private constructor(options: ServingCertificateOptions, first: ServingCertificate) {
    this.options = options;
    this.certificate = first;
    this.unsubscribe = options.authority.subscribe(() => {
      this.cancelTimer();
      void this.renew();
    });
    this.scheduleRenewal();
  }

  static async issue(options: ServingCertificateOptions): Promise<ServingCertificates> {
    return new ServingCertificates(options, await issue(options));
  }

  get current(): ServingCertificate {
    return this.certificate;
  }

  /** Called with the present certificate at once, then with each new one. Returns how to stop. */
  subscribe(listener: (certificate: ServingCertificate) => void): () => void {
    this.listeners.add(listener);
    listener(this.certificate);
    return () => void this.listeners.delete(listener);
  }

  close(): void {
    this.closed = true;
    this.unsubscribe();
    this.cancelTimer();
    this.listeners.clear();
  }

  private scheduleRenewal(): void {
    const { clock } = this.options;
    const halfLifeMs = (this.certificate.notAfter.getTime() - clock.now()) / 2;
    this.cancelTimer = clock.schedule(Math.max(halfLifeMs, RETRY_MS), () => void this.renew());
  }

  private async renew(): Promise<void> {
    const { logger } = this.options;
    try {
      const next = await issue(this.options);
      if (this.closed) return;
      this.certificate = next;
      for (const listener of this.listeners) listener(next);
    } catch (error) {
      logger.error('cannot renew the serving certificate', { error: describeError(error) });
    }
    if (this.closed) return;
    this.cancelTimer();
    this.scheduleRenewal();
  }
}

async function issue({ authority, dnsNames, ttlMs }: ServingCertificateOptions): Promise<ServingCertificate> {
  const { publicKey, privateKey } = await createKeyPair();
  const { chainPem, notAfter } = authority.sign({ publicKey, dnsSans: dnsNames, usages: ['server'], ttlMs });
  return { keyPem: privateKeyPem(privateKey), chainPem, notAfter };
}
