import { generateKeyPairSync } from 'node:crypto';
import { expect, it } from '@jest/globals';
import { silentLogger, systemClock } from '@weft/telemetry';
import { createMesh } from '../ambient/test-mesh.ts';
import { MAX_KEY_SET_BYTES, fetchKeySets, parseProtoDuration } from './key-set-fetcher.ts';

const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
const keySet = JSON.stringify({ keys: [publicKey.export({ format: 'jwk' })] });
const authentication = (uri: string): string =>
  `{ kind: RequestAuthentication, metadata: { name: a, namespace: shop }, spec: { jwtRules: [{ issuer: i, jwksUri: "${uri}" }] } }`;

/** Follows the policies of a mesh with answers by path; what was set for each URI, in order. */
function follow(answers: Readonly<Record<string, () => Response>>, clock = systemClock) {
  const mesh = createMesh();
  const stop = new AbortController();
  const set: string[] = [];
  const asked: string[] = [];
  fetchKeySets({
    graph: mesh.graph,
    authentications: mesh.sources.requestAuthentications,
    keySets: {
      set: (uri, text) => void set.push(`${uri} ${text}`),
      delete: (uri) => void set.push(`-${uri}`),
    },
    clock,
    logger: silentLogger,
    signal: stop.signal,
    fetch: (input) => {
      const uri = input instanceof Request ? input.url : input.toString();
      asked.push(uri);
      const answer = answers[uri];
      return answer === undefined
        ? Promise.reject(new Error('connection refused'))
        : Promise.resolve(answer());
    },
  });
  return { mesh, set, asked, stop: () => stop.abort() };
}

const turns = (): Promise<void> => new Promise((resolve) => void setTimeout(resolve, 20));

it('fetches what policies name, and forgets what they name no longer', async () => {
  const { mesh, set, stop } = follow({ 'https://i/keys': () => new Response(keySet) });
  mesh.apply(authentication('https://i/keys'));
  await turns();
  expect(set).toEqual([`https://i/keys ${keySet}`]);
  mesh.sources.requestAuthentications.delete('shop/a');
  mesh.flush();
  await turns();
  expect(set).toEqual([`https://i/keys ${keySet}`, '-https://i/keys']);
  stop();
});

it.each([
  ['cannot be reached', 'https://down/keys', undefined],
  ['answers with an error', 'https://i/keys', () => new Response(keySet, { status: 503 })],
  ['answers with something else', 'https://i/keys', () => new Response('<html>')],
  ['answers without end', 'https://i/keys', () => new Response('x'.repeat(MAX_KEY_SET_BYTES + 1))],
  ['is not a web address', 'file:///etc/passwd', () => new Response(keySet)],
])('takes nothing from an issuer that %s', async (_case, uri, answer) => {
  const { mesh, set, stop } = follow(answer === undefined ? {} : { [uri]: answer });
  mesh.apply(authentication(uri));
  await turns();
  expect(set).toEqual([]);
  stop();
});

it.each([
  ['5s', 5_000],
  ['0.25s', 250],
  ['1m30s', 90_000],
  ['0s', undefined],
  ['soon', undefined],
  [undefined, undefined],
])('reads the timeout %s', (text, ms) => {
  expect(parseProtoDuration(text)).toBe(ms);
});

it('fetches by the old spelling of the address, too', async () => {
  const { mesh, set, stop } = follow({ 'https://i/keys': () => new Response(keySet) });
  mesh.apply(authentication('https://i/keys').replace('jwksUri', 'jwks_uri'));
  await turns();
  expect(set).toEqual([`https://i/keys ${keySet}`]);
  stop();
});
