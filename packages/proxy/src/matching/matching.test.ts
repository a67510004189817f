import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import Long from 'long';
import { envoy } from '@weft/api/envoy';
import { HeaderMap } from '../engine/types.ts';
import { compileCidr } from './cidr.ts';
import { compileHeaderMatcher } from './header-matcher.ts';
import { InvalidValue } from './invalid.ts';
import { compilePathMatcher } from './path-matcher.ts';
import { compileRegex, compileRegexRewrite } from './regex.ts';
import { compileRequestMatch } from './route-match.ts';
import { compileStringMatcher } from './string-matcher.ts';
import { compileUriTemplate } from './uri-template.ts';
import { compileMetadataMatcher } from './value-matcher.ts';

const { StringMatcher, PathMatcher, MetadataMatcher } = envoy.type.matcher.v3;
const { HeaderMatcher, RouteMatch } = envoy.config.route.v3;

/** As it comes from the wire: oneof members are only told apart on decoded messages. */
function decoded<T>(
  type: { encode(m: T): { finish(): Uint8Array }; decode(b: Uint8Array): T },
  message: T,
): T {
  return type.decode(type.encode(message).finish());
}
const string = (m: envoy.type.matcher.v3.StringMatcher.$Properties) =>
  compileStringMatcher(decoded(StringMatcher, m));
const header = (m: envoy.config.route.v3.HeaderMatcher.$Properties) =>
  compileHeaderMatcher(decoded(HeaderMatcher, m));
const route = (m: envoy.config.route.v3.RouteMatch.$Properties) =>
  compileRequestMatch(decoded(RouteMatch, m));

describe('string matcher', () => {
  it.each<[envoy.type.matcher.v3.StringMatcher.$Properties, string, boolean]>([
    [{ exact: 'a' }, 'a', true],
    [{ exact: 'a' }, 'A', false],
    [{ exact: '' }, '', true],
    [{ exact: 'aB', ignoreCase: true }, 'Ab', true],
    [{ prefix: '/a' }, '/ab', true],
    [{ prefix: '/A', ignoreCase: true }, '/ab', true],
    [{ suffix: '.svc' }, 'x.svc', true],
    [{ suffix: '.svc' }, 'x.svc.', false],
    [{ contains: 'bc' }, 'abcd', true],
    [{ safeRegex: { regex: 'a|ab' } }, 'ab', true],
    [{ safeRegex: { regex: 'a' } }, 'xa', false],
    [{ safeRegex: { regex: '.*/ns/foo/.*' } }, 'spiffe://td/ns/foo/sa/x', true],
    // ſ and K (Kelvin) fold to ASCII letters in Unicode, not in ours.
    [{ exact: 's', ignoreCase: true }, 'ſ', false],
    [{ exact: 'k', ignoreCase: true }, '\u212a', false],
  ])('%j on "%s" is %s', (matcher, text, expected) => {
    expect(string(matcher)(text)).toBe(expected);
  });

  it.each([
    [{}],
    [{ prefix: '' }],
    [{ suffix: '' }],
    [{ contains: '' }],
    [{ safeRegex: { regex: '(' } }],
    [{ safeRegex: {} }],
  ])('refuses %j', (matcher) => {
    expect(() => string(matcher)).toThrow(InvalidValue);
  });

  it('names the field of a bad expression', () => {
    expect(() => string({ safeRegex: { regex: '(' } })).toThrow(/^safe_regex\.regex: .*missing/);
  });
});

describe('regular expressions', () => {
  it('do not backtrack', () => {
    const evil = compileRegex({ regex: '(x+x+)+y' });
    const started = performance.now();
    expect(evil('x'.repeat(20_000))).toBe(false);
    expect(performance.now() - started).toBeLessThan(2_000);
  });

  it('are refused above the program size', () => {
    expect(() => compileRegex({ regex: '((a{100}){100}){10}' })).toThrow(InvalidValue);
  });

  it.each([
    ['^/a/(.*)$', '/b/\\1', '/a/x', '/b/x'],
    ['(a)(b)', '\\2\\1', 'ab-ab', 'ba-ba'],
    ['(a)', '\\10', 'a', 'a0'],
    ['a', '$1\\\\', 'a', '$1\\'],
    ['b+', '[\\0]', 'abba', 'a[bb]a'],
  ])('rewrite %s by %s: %s becomes %s', (regex, substitution, text, expected) => {
    expect(compileRegexRewrite({ pattern: { regex }, substitution })(text)).toBe(expected);
  });

  it('refuse a substitution of a group that is not there', () => {
    expect(() => compileRegexRewrite({ pattern: { regex: 'a' }, substitution: '\\1' })).toThrow(
      /substitution/,
    );
  });
});

describe('header matcher', () => {
  const range = { start: Long.fromNumber(1), end: Long.fromNumber(3) };
  const lines = (values: readonly string[]) =>
    HeaderMap.request({
      method: 'GET',
      path: '/p?q=1',
      authority: 'h',
      fields: values.map((v) => ['x-h', v] as const),
    });

  it.each<[string, envoy.config.route.v3.HeaderMatcher.$Properties, readonly string[], boolean]>([
    ['one line', { stringMatch: { exact: 'a' } }, ['a'], true],
    ['any of several lines', { stringMatch: { exact: 'a' } }, ['b', 'a'], true],
    ['no line', { stringMatch: { exact: 'a' } }, [], false],
    ['a joined value as one', { stringMatch: { exact: 'a' } }, ['a,b'], false],
    ['the joined value itself', { stringMatch: { exact: 'a,b' } }, ['a,b'], true],
    ['not two lines by their join', { stringMatch: { exact: 'a,b' } }, ['a', 'b'], false],
    ['inverted: another value', { stringMatch: { exact: 'a' }, invertMatch: true }, ['b'], true],
    ['inverted: one of two lines', { stringMatch: { exact: 'a' }, invertMatch: true }, ['b', 'a'], false],
    ['inverted: absent still fails', { stringMatch: { exact: 'a' }, invertMatch: true }, [], false],
    [
      'inverted: absent as empty',
      { stringMatch: { exact: 'a' }, invertMatch: true, treatMissingHeaderAsEmpty: true },
      [],
      true,
    ],
    ['absent as empty', { stringMatch: { exact: '' }, treatMissingHeaderAsEmpty: true }, [], true],
    ['presence', { presentMatch: true }, [''], true],
    ['presence of none', { presentMatch: true }, [], false],
    ['absence', { presentMatch: false }, [], true],
    ['inverted presence is absence', { presentMatch: true, invertMatch: true }, [], true],
    ['inverted presence with a line', { presentMatch: true, invertMatch: true }, ['x'], false],
    ['nothing said is presence', {}, ['x'], true],
    ['range, lower bound', { rangeMatch: range }, ['1'], true],
    ['range, upper bound', { rangeMatch: range }, ['3'], false],
    ['range, no number', { rangeMatch: range }, ['2a'], false],
    ['older exact', { exactMatch: 'a' }, ['a'], true],
    ['older regex', { safeRegexMatch: { regex: 'a+' } }, ['aa'], true],
  ])('%s', (_name, matcher, values, expected) => {
    expect(header({ name: 'X-H', ...matcher })(lines(values))).toBe(expected);
  });

  it('sees the query in :path and Host as :authority', () => {
    expect(header({ name: ':path', stringMatch: { exact: '/p?q=1' } })(lines([]))).toBe(true);
    expect(header({ name: 'host', stringMatch: { exact: 'h' } })(lines([]))).toBe(true);
  });

  it('is never true both plain and inverted, and exactly one of both when the header is there', () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom('a', 'b', 'a,b', ''), { maxLength: 4 }), (values) => {
        const plain = header({ name: 'x-h', stringMatch: { exact: 'a' } })(lines(values));
        const inverted = header({ name: 'x-h', stringMatch: { exact: 'a' }, invertMatch: true })(
          lines(values),
        );
        expect(plain && inverted).toBe(false);
        expect(plain || inverted).toBe(values.length > 0);
      }),
    );
  });
});

describe('path matcher', () => {
  const path = (exact: string) => compilePathMatcher(decoded(PathMatcher, { path: { exact } }));
  it.each([
    ['/a', true],
    ['/a?b', true],
    ['/a#b', true],
    ['/a/', false],
    ['/A', false],
  ])('"/a" on %s is %s', (target, expected) => {
    expect(path('/a')(target)).toBe(expected);
  });
});

describe('address ranges', () => {
  it.each([
    ['10.0.0.0', 8, '10.255.0.1', true],
    ['10.0.0.0', 8, '11.0.0.1', false],
    ['10.1.2.128', 25, '10.1.2.127', false],
    ['10.1.2.128', 25, '10.1.2.129', true],
    ['0.0.0.0', 0, '1.2.3.4', true],
    ['0.0.0.0', 0, '::1', false],
    ['10.0.0.0', 8, '::ffff:10.0.0.1', true],
    ['::ffff:10.0.0.0', 104, '10.0.0.1', true],
    ['fd00::', 8, 'fd12::1', true],
    ['fd00::', 8, 'fe12::1', false],
    ['::1', 128, '::1', true],
    ['10.0.0.1', 32, '10.0.0.01', false],
    ['10.0.0.1', 32, '', false],
  ])('%s/%i on %s is %s', (addressPrefix, value, address, expected) => {
    expect(compileCidr({ addressPrefix, prefixLen: { value } })(address)).toBe(expected);
  });

  it.each([
    ['10.0.0', 8],
    ['x', 8],
    ['10.0.0.0', 33],
    ['::', 129],
    ['::ffff:10.0.0.0', 95],
  ])('refuses %s/%i', (addressPrefix, value) => {
    expect(() => compileCidr({ addressPrefix, prefixLen: { value } })).toThrow(InvalidValue);
  });

  it('agree with arithmetic', () => {
    const u32 = fc.integer({ min: 0, max: 0xffffffff });
    const text = (n: number) => [24, 16, 8, 0].map((s) => (n >>> s) & 255).join('.');
    fc.assert(
      fc.property(u32, u32, fc.integer({ min: 0, max: 32 }), (prefix, address, length) => {
        const shift = 32 - length;
        const same = length === 0 || prefix >>> shift === address >>> shift;
        expect(
          compileCidr({ addressPrefix: text(prefix), prefixLen: { value: length } })(text(address)),
        ).toBe(same);
      }),
    );
  });
});

describe('uri template', () => {
  it.each<[string, string, boolean]>([
    ['/a/{x}/b', '/a/1/b', true],
    ['/a/{x}/b', '/a//b', false],
    ['/a/{x}/b', '/a/1/2/b', false],
    ['/a/*', '/a/1', true],
    ['/a/*', '/a/', false],
    ['/a/*', '/a/1/', false],
    ['/t/{a}/x/{b=**}', '/t/1/x/', true],
    ['/t/{a}/x/{b=**}', '/t/1/x/2/3', true],
    ['/t/{a}/x/{b=**}', '/t/1/x', false],
    ['/**', '/', true],
    ['/a.b', '/a.b', true],
    ['/a.b', '/axb', false],
  ])('%s on %s is %s', (template, path, expected) => {
    expect(compileUriTemplate(template).match(path) !== undefined).toBe(expected);
  });

  it('gives the variables', () => {
    expect([...(compileUriTemplate('/{a}/{b=**}').match('/1/2/3') ?? [])]).toEqual([
      ['a', '1'],
      ['b', '2/3'],
    ]);
  });

  it.each(['a', '/{a}{b}', '/**/a', '/{a', '/a}', '/{a}/{a}', '/{1}', '/x{a}', '/a*'])(
    'refuses %s',
    (template) => {
      expect(() => compileUriTemplate(template)).toThrow(InvalidValue);
    },
  );
});

describe('metadata matcher', () => {
  const matches = (m: envoy.type.matcher.v3.MetadataMatcher.$Properties, value: unknown) =>
    compileMetadataMatcher(decoded(MetadataMatcher, { filter: 'jwt', ...m }))(() =>
      JSON.parse(JSON.stringify(value)),
    );
  const at = (...keys: string[]) => keys.map((key) => ({ key }));
  it.each<[string, envoy.type.matcher.v3.MetadataMatcher.$Properties, unknown, boolean]>([
    [
      'a nested string',
      { path: at('p', 'iss'), value: { stringMatch: { exact: 'x' } } },
      { p: { iss: 'x' } },
      true,
    ],
    ['a missing step', { path: at('p', 'iss'), value: { stringMatch: { exact: 'x' } } }, {}, false],
    ['a missing step, inverted', { path: at('p'), value: { presentMatch: true }, invert: true }, {}, true],
    [
      'one of a list',
      { path: at('aud'), value: { listMatch: { oneOf: { stringMatch: { exact: 'b' } } } } },
      { aud: ['a', 'b'] },
      true,
    ],
    [
      'a list matcher on a string',
      { path: at('aud'), value: { listMatch: { oneOf: { stringMatch: { exact: 'b' } } } } },
      { aud: 'b' },
      false,
    ],
    ['a boolean', { path: at('admin'), value: { boolMatch: true } }, { admin: true }, true],
    [
      'a number in a range',
      { path: at('n'), value: { doubleMatch: { range: { start: 1, end: 2 } } } },
      { n: 1.5 },
      true,
    ],
    ['no member of Object.prototype', { path: at('constructor'), value: { presentMatch: true } }, {}, false],
  ])('%s', (_name, matcher, value, expected) => {
    expect(matches(matcher, value)).toBe(expected);
  });
});

describe('request match', () => {
  const request = (path: string, fields: readonly (readonly [string, string])[] = [], method = 'GET') =>
    HeaderMap.request({ method, path, authority: 'h', fields });
  it.each<[envoy.config.route.v3.RouteMatch.$Properties, string, boolean]>([
    [{ prefix: '/foo' }, '/foobar', true],
    [{ prefix: '/foo' }, '/x?/foo', false],
    [{ path: '/foo' }, '/foo?x', true],
    [{ path: '/foo' }, '/foo/', false],
    [{ path: '/FOO', caseSensitive: { value: false } }, '/foo', true],
    [{ pathSeparatedPrefix: '/psp' }, '/psp', true],
    [{ pathSeparatedPrefix: '/psp' }, '/psp/x', true],
    [{ pathSeparatedPrefix: '/psp' }, '/psp?x', true],
    [{ pathSeparatedPrefix: '/psp' }, '/pspx', false],
    [{ safeRegex: { regex: '/a.c' } }, '/abc?q', true],
    [{ safeRegex: { regex: '/a' } }, '/abc', false],
    [{ prefix: '/', queryParameters: [{ name: 'a', stringMatch: { exact: '1' } }] }, '/?a=1&a=2', true],
    [{ prefix: '/', queryParameters: [{ name: 'a', stringMatch: { exact: '2' } }] }, '/?a=1&a=2', false],
    [{ prefix: '/', queryParameters: [{ name: 'a', stringMatch: { exact: '1' } }] }, '/?a=%31', false],
    [{ prefix: '/', queryParameters: [{ name: 'a', presentMatch: true }] }, '/?a', true],
  ])('%j on %s is %s', (match, path, expected) => {
    expect(route(match)(request(path))).toBe(expected);
  });

  it('keeps CONNECT to its own matcher', () => {
    const connect = HeaderMap.request({ method: 'CONNECT', authority: '10.0.0.1:80' });
    expect(route({ connectMatcher: {} })(connect)).toBe(true);
    expect(route({ prefix: '/' })(request('/', [], 'CONNECT'))).toBe(false);
  });

  it('tells gRPC from gRPC-Web', () => {
    const grpc = route({ prefix: '/', grpc: {} });
    expect(grpc(request('/', [['content-type', 'application/grpc+proto']]))).toBe(true);
    expect(grpc(request('/', [['content-type', 'application/grpc-web']]))).toBe(false);
  });
});
