import { expect, it } from '@jest/globals';
import { ManualClock, WeftError } from '@weft/telemetry';
import { TokenAuthenticator } from './token-authenticator.ts';

const accepted = {
  authenticated: true,
  audiences: ['istio-ca'],
  user: { username: 'system:serviceaccount:shop:web' },
};

function start() {
  const clock = new ManualClock();
  let answer: 'unreachable' | object = accepted;
  const client = {
    reviewToken: () =>
      answer === 'unreachable' ? Promise.reject(new Error('unreachable')) : Promise.resolve(answer),
  };
  const authenticator = new TokenAuthenticator(client, ['istio-ca'], clock);
  const token = (claims: object): string =>
    `Bearer h.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.s`;
  const authenticate = async (authorization: string): Promise<string> =>
    authenticator.authenticate(authorization, 'WEFT1803', AbortSignal.abort()).then(
      ({ serviceAccount }) => serviceAccount,
      (error: unknown) => (WeftError.is(error) ? error.code : String(error)),
    );
  const hour = { exp: clock.now() / 1_000 + 3_600 };
  return {
    clock,
    authenticate,
    good: token(hour),
    endless: token({}),
    answer: (a: typeof answer) => (answer = a),
  };
}

it('takes the API server’s last word on a token while it cannot be asked, until the token expires', async () => {
  const { clock, authenticate, good, endless, answer } = start();
  expect([await authenticate(good), await authenticate(endless)]).toEqual(['web', 'web']);
  answer('unreachable');
  await clock.advance(3_599_000);
  expect([await authenticate(good), await authenticate(good)]).toEqual(['web', 'web']);
  expect(await authenticate(endless)).toBe('WEFT1807');
  expect(await authenticate('Bearer never.seen.before')).toBe('WEFT1807');
  await clock.advance(1_000);
  expect(await authenticate(good)).toBe('WEFT1807');
});

it('forgets a token that the API server no longer accepts', async () => {
  const { authenticate, good, answer } = start();
  await authenticate(good);
  answer({ authenticated: false });
  expect(await authenticate(good)).toBe('WEFT1803');
  answer('unreachable');
  expect(await authenticate(good)).toBe('WEFT1807');
});
