import { X509Certificate } from 'node:crypto';
import { envoy } from '@weft/api/envoy';
import { table } from '../output.ts';
import { unpack, type SecretsDump } from './admin-dump.ts';

const { Secret } = envoy.extensions.transport_sockets.tls.v3;
type Secret = envoy.extensions.transport_sockets.tls.v3.Secret;
type DataSource = envoy.config.core.v3.DataSource.$Properties;

export interface SecretEntry {
  readonly secret: Secret;
  readonly state: 'ACTIVE' | 'WARMING';
}

export function secretsOf(dump: SecretsDump | undefined): readonly SecretEntry[] {
  const entries = (
    list: readonly { readonly secret?: { readonly value?: Uint8Array | null } | null }[] | undefined,
    state: SecretEntry['state'],
  ): readonly SecretEntry[] =>
    (list ?? []).flatMap(({ secret: any }) => {
      const secret = unpack(any, Secret);
      return secret === undefined ? [] : [{ secret, state }];
    });
  return [
    ...entries(dump?.staticSecrets, 'ACTIVE'),
    ...entries(dump?.dynamicActiveSecrets, 'ACTIVE'),
    ...entries(dump?.dynamicWarmingSecrets, 'WARMING'),
  ];
}

export function secretTable(entries: readonly SecretEntry[], now: Date): string {
  return table(
    ['RESOURCE NAME', 'TYPE', 'STATUS', 'VALID CERT', 'SERIAL NUMBER', 'NOT AFTER', 'NOT BEFORE'],
    entries.flatMap(({ secret, state }) => {
      const own = secret.tlsCertificate?.certificateChain;
      const roots = secret.validationContext?.trustedCa;
      const certificates = certificatesIn(own ?? roots);
      const type = own ? 'Cert Chain' : 'CA';
      if (certificates.length === 0) return [[secret.name, type, state, 'false', '', '', '']];
      return certificates.map((c) => {
        const valid = new Date(c.validFrom) <= now && now < new Date(c.validTo);
        return [
          secret.name,
          type,
          state,
          String(valid),
          c.serialNumber.toLowerCase(),
          new Date(c.validTo).toISOString(),
          new Date(c.validFrom).toISOString(),
        ];
      });
    }),
  );
}

function certificatesIn(source: DataSource | null | undefined): readonly X509Certificate[] {
  const pem = source?.inlineBytes ? Buffer.from(source.inlineBytes).toString() : (source?.inlineString ?? '');
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  return blocks.flatMap((block) => {
    try {
      return [new X509Certificate(block)];
    } catch {
      return [];
    }
  });
}
