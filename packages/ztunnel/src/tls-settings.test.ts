import { describe, expect, it } from '@jest/globals';
import { hasPostQuantumGroup } from '@weft/hbone';
import { Environment } from '@weft/telemetry';
import { tlsSettings } from './tls-settings.ts';

const settings = (variables: Record<string, string>): unknown => tlsSettings(new Environment(variables));

describe('tlsSettings', () => {
  it.each([
    [{}, { tls12: false, postQuantumOnly: false }],
    [{ TLS12_ENABLED: 'true' }, { tls12: true, postQuantumOnly: false }],
    [{ TLS12_ENABLED: 'yes' }, { tls12: false, postQuantumOnly: false }],
  ])('%j', (variables, expected) => {
    expect(settings(variables)).toEqual(expected);
  });

  it('refuses a compliance policy that nobody knows', () => {
    expect(() => settings({ COMPLIANCE_POLICY: 'fips' })).toThrow('expected pqc');
  });

  it('takes pqc only with an OpenSSL that has the hybrid key exchange, and says so otherwise', () => {
    const pqc = (): unknown => settings({ COMPLIANCE_POLICY: 'pqc' });
    if (hasPostQuantumGroup()) expect(pqc()).toEqual({ tls12: false, postQuantumOnly: true });
    else expect(pqc).toThrow('OpenSSL 3.5');
  });
});
