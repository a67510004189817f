import { describe, expect, it } from '@jest/globals';
import { findImage, parseImageTable } from './images.ts';

const table = parseImageTable(
  JSON.stringify({
    images: [
      { pattern: 'registry.local/weft/ztunnel:*', command: ['/node', '/z.js'] },
      { pattern: 'docker.io/*/web', command: ['/web'] },
      { pattern: '*', command: ['/any'] },
    ],
  }),
  'test',
);

describe('findImage', () => {
  it.each([
    ['registry.local/weft/ztunnel:1.2', '/node'],
    ['registry.local/weft/ztunnel', '/node'],
    ['docker.io/library/web:v1', '/web'],
    ['docker.io/library/web', '/web'],
    ['docker.io/library/web@sha256:00', '/any'],
    ['other', '/any'],
  ])('resolves %s', (image, command) => {
    expect(findImage(table, image)?.command[0]).toBe(command);
  });

  it('takes special characters of a pattern literally', () => {
    expect(
      findImage(parseImageTable('{"images":[{"pattern":"a.b/c:1","command":[]}]}', 'test'), 'aXb/c:1'),
    ).toBeUndefined();
  });
});

describe('parseImageTable', () => {
  it.each([
    ['nonsense', 'is not JSON'],
    ['{}', 'images is not a list'],
    ['{"images":[{"pattern":""}]}', 'images[0].pattern'],
    ['{"images":[{"pattern":"x","args":[1]}]}', 'images[0].args'],
    ['{"images":[{"pattern":"x","binds":["relative"]}]}', 'images[0].binds'],
    ['{"images":[{"pattern":"x","env":{"A":1}}]}', 'images[0].env'],
  ])('refuses %s naming %s', (text, where) => {
    expect(() => parseImageTable(text, 'file')).toThrow(where);
  });
});
