import { describe, expect, it } from '@jest/globals';
import { normalizePath, normalizeTarget, type PathOptions } from './path-normalization.ts';

const istio: PathOptions = {
  normalize: true,
  mergeSlashes: false,
  escapedSlashes: 'keep',
  stripFragment: true,
};

describe('normalization of paths', () => {
  it.each<[string, string | undefined]>([
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/./b', '/a/b'],
    ['/a/..', '/'],
    ['/a/b/..', '/a/'],
    ['/a/.', '/a/'],
    ['/../../a', '/a'],
    ['/..', '/'],
    ['/a/%2e%2e/b', '/b'],
    ['/a/%2E/b', '/a/b'],
    ['/a/.%2e/b', '/b'],
    ['/%61dmin', '/admin'],
    ['/%7Eme', '/~me'],
    ['/a%2Fb', '/a%2Fb'],
    ['/a%5cb', '/a%5cb'],
    ['/a\\b', '/a/b'],
    ['/a\\..\\b', '/b'],
    ['/a//b', '/a//b'],
    ['/a//../b', '/a/b'],
    ['/.hidden', '/.hidden'],
    ['/a..', '/a..'],
    ['/...', '/...'],
    ['/a;x=y/b', '/a;x=y/b'],
    ['/a/..;/b', '/b'],
    ['/a/.;x/b', '/a/b'],
    ['/a/%2e%2e;/b', '/b'],
    ['/a/..;', '/'],
    ['/a/...;/b', '/a/...;/b'],
    ['/a/;..;/b', '/a/;..;/b'],
    ['/"<>^`{|}', '/%22%3C%3E%5E%60%7B%7C%7D'],
    ['/a/..;/b', '/b'],
    ['/a/..;x=y/b', '/b'],
    ['/a/.;/b', '/a/b'],
    ['/a|b"{}', '/a%7Cb%22%7B%7D'],
    ['/%zz', '/%zz'],
    ['/%', '/%'],
    ['/%252e%252e/a', '/%252e%252e/a'],
    ['/%6%31dmin', '/%2561dmin'],
    ['/a/%2%65%%32e/b', '/a/%252e%252e/b'],
    ['/%%32%66', '/%252f'],
    ['/%00', undefined],
    ['/a%00b', undefined],
    ['a', undefined],
  ])('%s becomes %s', (path, expected) => {
    expect(normalizePath(path)).toBe(expected);
  });

  it('changes nothing a second time', () => {
    const alphabet = ['/', '.', '..', '%2e', '%2F', '\\', 'a', '%61', '//', ';', '%', '%5c'];
    let state = 3;
    const next = (): number => {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      return state / 2 ** 32;
    };
    for (let round = 0; round < 2_000; round++) {
      let path = '/';
      for (let n = Math.floor(next() * 10); n > 0; n--)
        path += alphabet[Math.floor(next() * alphabet.length)];
      const once = normalizePath(path);
      if (once === undefined || /%(?:25|$)/.test(path)) continue;
      // `%` before what decodes to hex digits may make a new escape; nothing else may.
      if (/%[^0-9A-Fa-f]|%.?$|%.%/.test(path)) continue;
      expect([path, normalizePath(once)]).toEqual([path, once]);
      expect(once).not.toMatch(/(^|\/)\.\.?(\/|$)/);
    }
  });

  it.each<[string, Partial<PathOptions>, object]>([
    ['/a/../b?x=/../y', {}, { kind: 'path', path: '/b?x=/../y' }],
    ['/a#b', {}, { kind: 'path', path: '/a' }],
    ['/a?q#b', {}, { kind: 'path', path: '/a?q' }],
    ['/a#b', { stripFragment: false }, { kind: 'reject', details: 'path_normalization_failed' }],
    ['//a///b?c//d', { mergeSlashes: true }, { kind: 'path', path: '/a/b?c//d' }],
    ['/a%2fb', { escapedSlashes: 'reject' }, { kind: 'reject', details: 'path_normalization_failed' }],
    ['/a?%2f', { escapedSlashes: 'reject' }, { kind: 'path', path: '/a?%2f' }],
    ['/a%2F..%5Cb?q', { escapedSlashes: 'redirect' }, { kind: 'redirect', path: '/b?q' }],
    ['/a%2F..%2Fb', { escapedSlashes: 'forward' }, { kind: 'path', path: '/b' }],
    ['/x/%2e%2e%2fadmin', { escapedSlashes: 'forward' }, { kind: 'path', path: '/admin' }],
    ['/a/../b', { normalize: false }, { kind: 'path', path: '/a/../b' }],
  ])('%s with %j', (target, options, expected) => {
    expect(normalizeTarget(target, { ...istio, ...options })).toEqual(expected);
  });
});
