import { describe, expect, it } from '@jest/globals';
import type { ApiObject } from './object.ts';
import { labelSelectorOf, parseFieldSelector, parseLabelSelector } from './selectors.ts';

describe('label selectors', () => {
  it.each([
    ['a=b', { a: 'b' }, true],
    ['a==b', { a: 'c' }, false],
    ['a!=b', {}, true],
    ['a in (b, c),!d', { a: 'c' }, true],
    ['a in (b,c),!d', { a: 'c', d: '' }, false],
    ['a notin (b)', { a: 'b' }, false],
    ['a', { a: '' }, true],
    ['!a', { a: '' }, false],
    ['example.com/x=1,a', { 'example.com/x': '1', a: 'z' }, true],
    ['constructor', {}, false],
    ['', {}, true],
  ])('%j on %j is %j', (text, labels, expected) => {
    expect(parseLabelSelector(text)(labels)).toBe(expected);
  });

  it.each(['a in b', '=b', 'a in (b', '-a'])('refuses %j', (text) => {
    expect(() => parseLabelSelector(text)).toThrow('unable to parse');
  });

  it('reads LabelSelector objects', () => {
    const selected = labelSelectorOf({
      matchLabels: { a: 'b' },
      matchExpressions: [
        { key: 'c', operator: 'NotIn', values: ['d'] },
        { key: 'e', operator: 'DoesNotExist' },
      ],
    });
    expect(selected({ a: 'b' })).toBe(true);
    expect(selected({ a: 'b', c: 'd' })).toBe(false);
    expect(selected({ a: 'b', e: '' })).toBe(false);
    expect(labelSelectorOf({})({ any: 'thing' })).toBe(true);
  });
});

describe('field selectors', () => {
  const pod: ApiObject = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'p', namespace: 'ns' },
    spec: { nodeName: 'n1' },
    status: { phase: 'Running' },
  };
  it.each([
    ['metadata.name=p', true],
    ['spec.nodeName=n1,status.phase!=Failed', true],
    ['spec.nodeName=', false],
    ['spec.hostNetwork=false', true],
    ['metadata.namespace!=ns', false],
  ])('%j is %j', (text, expected) => {
    expect(parseFieldSelector({ plural: 'pods' }, text)(pod)).toBe(expected);
  });

  it('refuses a field that the resource does not offer', () => {
    expect(() => parseFieldSelector({ plural: 'pods' }, 'spec.containers=x')).toThrow(
      'field label not supported',
    );
  });
});
