import { describe, expect, it } from '@jest/globals';
import { compileExpression } from './cel.ts';

describe('compileExpression', () => {
  it.each<[string, unknown]>([
    ['object.spec.replicas > 2 && object.metadata.name.startsWith("a")', true],
    ['size(object.spec.list) == 3 && object.spec.list[1] == 2', true],
    ['object.spec.list.map(x, x * 2)', [2n, 4n, 6n]],
    ['object.spec.list.sum() == 6 && object.spec.list.max() == 3 && object.spec.list.isSorted()', true],
    ['object.spec.list.indexOf(2)', 1n],
    ['oldObject == null', true],
    ['isIP("::1") && !isIP("x") && ip("10.0.0.1").family() == 4 && ip("::1").isLoopback()', true],
    [
      'isCIDR("10.0.0.0/8") && cidr("10.0.0.0/8").containsIP("10.1.2.3") && cidr("10.0.0.0/8").prefixLength() == 8',
      true,
    ],
    ['cidr("10.0.0.0/8").containsCIDR("10.1.0.0/16") && !cidr("10.0.0.0/8").containsCIDR("0.0.0.0/0")', true],
    ['ip.isCanonical("::1") && !ip.isCanonical("0:0:0:0:0:0:0:1")', true],
    [
      'isURL("https://a.b:80/c?d") && url("https://a.b:80/c").getScheme() == "https" && url("https://a.b:80/c").getPort() == "80"',
      true,
    ],
    ['isURL("a b") || isURL("")', false],
    ['url("https://[::1]:80/").getHostname()', '::1'],
    ['format.dns1123Label().validate("Bad").hasValue()', true],
    ['format.dns1123Label().validate("good").hasValue()', false],
    ['"A-B".lowerAscii().split("-").join("/")', 'a/b'],
    ['object.metadata.name.matches("(?i)^ALPHA$")', true],
  ])('evaluates %s', (expression, result) => {
    const object = { metadata: { name: 'alpha' }, spec: { replicas: 3, list: [1, 2, 3] } };
    expect(compileExpression(expression)({ object, oldObject: undefined })).toEqual(result);
  });

  it('refuses an expression that it cannot parse', () => {
    expect(() => compileExpression('1 +')).toThrow(expect.objectContaining({ name: 'CelCompileError' }));
  });

  it.each([
    ['object.missing == 1', 'no such key: missing'],
    ['int("x") == 1', 'Cannot convert x'],
    ['nope(1)', 'unbound function: nope'],
  ])('fails to evaluate %s', (expression, message) => {
    expect(() => compileExpression(expression)({ object: {} })).toThrow(message);
  });
});
