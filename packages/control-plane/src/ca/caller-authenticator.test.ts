import { BlockList } from 'node:net';
import { describe, expect, it } from '@jest/globals';
import { ManualClock, WeftError } from '@weft/telemetry';
import { CallerAuthenticator, type Credentials, addressOfPeer } from './caller-authenticator.ts';
import { CALLER_BURST, CALLER_RATE_PER_SECOND, CallerRates } from './caller-rates.ts';
import { forwardedIdentity } from './forwarded-certificate.ts';

const trustedGateways = new BlockList();
trustedGateways.addSubnet('10.1.0.0', 16, 'ipv4');

const authenticator = new CallerAuthenticator({
  tokens: {
    authenticate: (authorization) =>
      authorization === 'Bearer good'
        ? Promise.resolve({ namespace: 'n', serviceAccount: 'by-token', pod: undefined, by: 'token' })
        : Promise.reject(new WeftError('WEFT1803', 'no bearer token was presented')),
  },
  trustDomain: () => 'td',
  trustedGateways,
});

const nothing: Credentials = {
  authorization: undefined,
  certificate: undefined,
  forwardedCertificate: undefined,
  address: '10.1.2.3',
};
const uri = (account: string, trustDomain = 'td'): string => `spiffe://${trustDomain}/ns/n/sa/${account}`;
const certificate = (identity: string) => ({ subjectaltname: `URI:${identity}` });

describe('a caller', () => {
  it.each<[string, Partial<Credentials>, string]>([
    ['its client certificate', { certificate: certificate(uri('x')), authorization: 'Bearer good' }, 'x'],
    ['its token', { authorization: 'Bearer good' }, 'by-token'],
    [
      'its token, with a certificate of another mesh',
      { certificate: certificate(uri('x', 'o')), authorization: 'Bearer good' },
      'by-token',
    ],
    [
      'its token, with a certificate of no workload',
      { certificate: { subjectaltname: 'DNS:a' }, authorization: 'Bearer good' },
      'by-token',
    ],
    ['what a trusted gateway saw', { forwardedCertificate: `URI=${uri('f')}` }, 'f'],
    [
      'its token rather than what a gateway saw',
      { forwardedCertificate: `URI=${uri('f')}`, authorization: 'Bearer good' },
      'by-token',
    ],
  ])('is who %s says', async (_what, credentials, serviceAccount) => {
    const caller = await authenticator.authenticate(
      { ...nothing, ...credentials },
      'WEFT1803',
      AbortSignal.abort(),
    );
    expect(caller).toMatchObject({ namespace: 'n', serviceAccount, pod: undefined });
  });

  it.each<[string, Partial<Credentials>]>([
    ['nothing is shown', {}],
    [
      'the token is not good, though a gateway speaks for it',
      { authorization: 'Bearer x', forwardedCertificate: `URI=${uri('f')}` },
    ],
    ['the gateway is not trusted', { forwardedCertificate: `URI=${uri('f')}`, address: '10.2.0.1' }],
    ['the gateway is on this machine', { forwardedCertificate: `URI=${uri('f')}`, address: '127.0.0.1' }],
    ['where it comes from is unknown', { forwardedCertificate: `URI=${uri('f')}`, address: '' }],
    ['the forwarded certificate is of another mesh', { forwardedCertificate: `URI=${uri('f', 'o')}` }],
  ])('is nobody when %s', async (_what, credentials) => {
    const caller = authenticator.authenticate(
      { ...nothing, ...credentials },
      'WEFT1803',
      AbortSignal.abort(),
    );
    await expect(caller).rejects.toMatchObject({ code: 'WEFT1803' });
  });

  it.each([
    ['1.2.3.4:5', '1.2.3.4'],
    ['::ffff:1.2.3.4:5', '1.2.3.4'],
    ['[2001:db8::1]:5', '2001:db8::1'],
    ['2001:db8::1:5', '2001:db8::1'],
    ['unknown', ''],
  ])('at %s has the address %s', (peer, address) => {
    expect(addressOfPeer(peer)).toBe(address);
  });
});

it.each([
  ['By=spiffe://a;Hash=1;URI=spiffe://x', 'spiffe://x'],
  ['URI=spiffe://claimed,By=b;URI=spiffe://seen', 'spiffe://seen'],
  ['Subject="CN=\\",URI=spiffe://fake;URI=spiffe://fake";URI=spiffe://x', 'spiffe://x'],
  ['Subject="a,b;URI=y";uri="spiffe://x"', 'spiffe://x'],
  ['URI=spiffe://x,Hash=1', undefined],
  ['URI=spiffe://x;URI=spiffe://y', undefined],
  ['', undefined],
  ['"', undefined],
])('reads of %s what the nearest proxy has seen', (header, identity) => {
  expect(forwardedIdentity(header)).toBe(identity);
});

it('lets each caller ask as often as its own bucket allows', async () => {
  const clock = new ManualClock();
  const rates = new CallerRates(clock);
  for (let i = 0; i < CALLER_BURST; i++) expect(rates.take('a')).toBe(true);
  expect([rates.take('a'), rates.take('b')]).toEqual([false, true]);
  await clock.advance(1_000);
  for (let i = 0; i < CALLER_RATE_PER_SECOND; i++) expect(rates.take('a')).toBe(true);
  expect(rates.take('a')).toBe(false);
});
