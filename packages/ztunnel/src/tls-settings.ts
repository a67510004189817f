import { hasPostQuantumGroup, type TlsSettings } from '@weft/hbone';
import { WeftError, type Environment } from '@weft/telemetry';

/**
 * TLS12_ENABLED, which is false for anything but `true` as upstream, and COMPLIANCE_POLICY.
 * @throws WEFT1001 for a policy that is not known, or that this Node's OpenSSL can't keep
 */
export function tlsSettings(env: Environment): Required<TlsSettings> {
  const policy = env.string('COMPLIANCE_POLICY', '');
  if (policy !== '' && policy !== 'pqc')
    throw new WeftError('WEFT1001', `COMPLIANCE_POLICY=${policy}: expected pqc`);
  if (policy === 'pqc' && !hasPostQuantumGroup()) {
    const { openssl } = process.versions;
    throw new WeftError(
      'WEFT1001',
      `COMPLIANCE_POLICY=pqc needs a Node with OpenSSL 3.5, this has ${openssl}`,
    );
  }
  return { tls12: env.optional('TLS12_ENABLED') === 'true', postQuantumOnly: policy === 'pqc' };
}
