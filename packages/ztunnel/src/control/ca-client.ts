import { IstioCaClient, type CaClient } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry';
import { readRoots, readToken, type Config } from '../config.ts';

/** The certificate authority that the configuration names. */
export function caClient(config: Config): CaClient {
  const { ca, clusterId, secretTtlMs } = config;
  const { address, alternativeHostname, headers } = ca;
  if (address === undefined) {
    return { fetchCertificate: () => Promise.reject(new WeftError('WEFT1318', 'CA_ADDRESS is empty')) };
  }
  return new IstioCaClient({
    address,
    readRoots: () => readRoots(ca.root) ?? '',
    alternativeHostname,
    ...(ca.token.kind === 'none' ? {} : { readToken: () => readToken(ca.token) ?? '' }),
    clusterId,
    headers,
    ttlSeconds: Math.round(secretTtlMs / 1000),
    impersonate: true,
  });
}
