import fc from 'fast-check';
import { request, type Case } from './cases.ts';
import type { Fields } from './exchange.ts';

/** Parts that mean something to the configuration, so that combinations of them do too. */
const segments = [
  'exact',
  'prefix',
  'psp',
  'h',
  'q',
  'exact',
  'invert',
  'present',
  'admin',
  'secret',
  'rewrite',
  'regex',
  'mutate',
  'weighted',
  'cors',
  'h2',
  're',
  'abc',
  '12',
  't',
  'x',
  '.',
  '..',
  '',
  '%2e',
  '%2E%2e',
  '%2f',
  '%5C',
  '\\',
  '%61dmin',
  'e%78act',
  ';a=b',
  '%',
  '%00',
  '%zz',
  '~',
  '%7e',
  'direct',
  'redirect',
  'keep',
  'host',
  'only-good',
  'local',
];
const path = fc
  .tuple(
    fc.array(fc.constantFrom(...segments), { minLength: 1, maxLength: 5 }),
    fc.option(
      fc.array(fc.constantFrom('k=1', 'k', 'l=2', 'k=abc', '../x', '/admin', '%2e', '?'), { maxLength: 3 }),
    ),
  )
  .map(([parts, query]) => `/${parts.join('/')}${query === null ? '' : `?${query.join('&')}`}`);
const host = fc.constantFrom(
  'app.test',
  'app.test',
  'app.test:8080',
  'exact.test',
  'Exact.Test',
  'a.wild.test',
  'b.a.long.wild.test',
  'c-dash.wild.test',
  'tail.x',
  'mutated.test',
  'tls.test',
  'denied.test',
  'counted.test',
);
const names = [
  'x-h',
  'x-i',
  'x-user',
  'x-append',
  'x-overwrite',
  'x-drop',
  'x-forwarded-for',
  'x-forwarded-host',
  'origin',
  'x-w',
  'x-level',
  'accept',
  'x-envoy-max-retries',
  'x-host',
];
const values = [
  'One',
  'one',
  'good',
  'bad',
  'u-1',
  'u-0',
  '1.2.3.4',
  '10.9.0.1',
  'http',
  'https',
  '',
  'a,b',
  'http://good.test',
  'x',
];
// Names that Envoy joins the lines of come once.
const once = /^(?:x-forwarded-|accept|origin)/;
const headers: fc.Arbitrary<Fields> = fc
  .array(fc.tuple(fc.constantFrom(...names), fc.constantFrom(...values)), { maxLength: 4 })
  .map((fields) =>
    fields.filter(([name], i) => !once.test(name) || fields.findIndex(([other]) => other === name) === i),
  );
const reply = fc.option(
  fc.record(
    {
      status: fc.constantFrom(200, 201, 204, 302, 404, 409, 429, 500, 503),
      times: fc.constantFrom(1, 2),
      headers: fc.array(
        fc.tuple(
          fc.constantFrom('x-append', 'x-absent', 'x-overwrite', 'x-table-drop', 'x-again'),
          fc.constantFrom('1', '2'),
        ),
        { maxLength: 3 },
      ),
    },
    { requiredKeys: ['status'] },
  ),
  { nil: undefined },
);

const generated: fc.Arbitrary<Case> = fc
  .record({
    path,
    host,
    headers,
    reply,
    listener: fc.constantFrom('plain', 'edge', 'literal', 'behind', 'deny', 'allow'),
    protocol: fc.constantFrom('http1', 'http2'),
    method: fc.constantFrom('GET', 'GET', 'POST', 'PUT', 'HEAD', 'OPTIONS', 'DELETE'),
    body: fc.option(fc.constantFrom('', 'text', 'x'.repeat(20_000)), { nil: undefined }),
    chunked: fc.boolean(),
  })
  .map(({ path: target, body, reply: script, ...rest }) =>
    request(target, {
      ...rest,
      ...(script === undefined ? {} : { reply: script }),
      // Whether a HEAD or GET may have a body is the table's business.
      ...(body === undefined || rest.method === 'HEAD' || rest.method === 'GET' ? {} : { body }),
    }),
  );

export function generate(seed: number, count: number): readonly Case[] {
  return fc.sample(generated, { seed, numRuns: count });
}
