import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { formatAuthority, parseAuthority } from './authority.ts';
import { formatBaggage, parseBaggage, type Baggage } from './baggage.ts';
import { formatForwarded, parseForwarded } from './forwarded.ts';
import { newTraceparent } from './traceparent.ts';

describe('authority', () => {
  it.each([
    ['10.0.0.1:80', { kind: 'address', host: '10.0.0.1', port: 80 }],
    ['[fd00::1]:443', { kind: 'address', host: 'fd00::1', port: 443 }],
    [
      'web.default.svc.cluster.local:8080',
      { kind: 'hostname', host: 'web.default.svc.cluster.local', port: 8080 },
    ],
    ['10.0.0.1', undefined],
    ['10.0.0.1:0', undefined],
    ['10.0.0.1:65536', undefined],
    ['fd00::1:443', undefined],
    ['[10.0.0.1]:80', undefined],
    ['[fd00::1', undefined],
    ['a b:80', undefined],
    ['user@host:80', undefined],
    ['host/path:80', undefined],
    [':80', undefined],
    ['', undefined],
  ])('%j is %j', (text, expected) => {
    expect(parseAuthority(text)).toEqual(expected);
    if (expected !== undefined) expect(formatAuthority(expected.host, expected.port)).toBe(text);
  });
});

describe('baggage', () => {
  it("has ztunnel's keys in ztunnel's order", () => {
    expect(
      formatBaggage({
        clusterId: 'Kubernetes',
        namespace: 'default',
        workloadType: 'deployment',
        workloadName: 'web-v1',
        serviceName: 'web',
        serviceVersion: 'v1',
        region: 'r',
        zone: 'z',
      }),
    ).toBe(
      'k8s.cluster.name=Kubernetes,k8s.namespace.name=default,k8s.deployment.name=web-v1,service.name=web,service.version=v1,cloud.region=r,cloud.availability_zone=z',
    );
  });

  it('leaves out what is absent, empty or not expressible', () => {
    expect(formatBaggage({ namespace: 'a', serviceName: '', region: 'x,y', zone: 'ü' })).toBe(
      'k8s.namespace.name=a',
    );
  });

  it('ignores what it does not know when reading', () => {
    expect(
      parseBaggage('a=b,k8s.namespace.name=,service.name=s=t, service.version=v,k8s.pod.name=p,junk'),
    ).toEqual({
      serviceName: 's=t',
      workloadType: 'pod',
      workloadName: 'p',
    });
  });

  it('comes back as it went', () => {
    const text = fc.stringMatching(/^[a-zA-Z0-9._/-]{1,20}$/);
    const baggage = fc.record(
      {
        namespace: text,
        workloadType: fc.constantFrom('deployment', 'cronjob', 'pod', 'job'),
        workloadName: text,
        serviceName: text,
        zone: text,
      },
      { requiredKeys: [] },
    );
    fc.assert(
      fc.property(baggage, (made) => {
        const b = made as Baggage; // fast-check's record type spells optional keys differently
        const { workloadType, workloadName, ...rest } = b;
        const whole = workloadType !== undefined && workloadName !== undefined ? b : rest;
        expect(parseBaggage(formatBaggage(b))).toEqual(whole);
      }),
    );
  });

  it('survives any text', () => {
    fc.assert(fc.property(fc.string(), (text) => void parseBaggage(text)));
  });
});

describe('forwarded', () => {
  it.each([
    [{ for: { address: '10.0.0.1', port: 4000 } }, 'for="10.0.0.1:4000"'],
    [
      { for: { address: 'fd00::1', port: 4000 }, host: 'web.default.svc' },
      'for="[fd00::1]:4000";host=web.default.svc',
    ],
    [
      { for: { address: '10.0.0.1', port: 4000 }, host: '*.example.com' },
      'for="10.0.0.1:4000";host=*.example.com',
    ],
  ])('%j is written %s', (value, text) => {
    expect(formatForwarded(value)).toBe(text);
  });

  it.each([
    ['for="10.0.0.1:4000";host=web', { host: 'web' }],
    ['for=x; host="web"', { host: 'web' }],
    ['for=x', undefined],
    ['host=', undefined],
    ['host=wéb', undefined],
  ])('%s is read as %j', (text, expected) => {
    expect(parseForwarded(text)).toEqual(expected);
  });
});

describe('traceparent', () => {
  it('is fresh, of version 00, not sampled', () => {
    const text = newTraceparent();
    expect(text).toMatch(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/);
    expect(newTraceparent()).not.toBe(text);
  });
});
