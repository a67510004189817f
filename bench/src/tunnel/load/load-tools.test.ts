import { describe, expect, it } from '@jest/globals';
import { parseH2loadErrors, parseH2loadLog } from './h2load.ts';
import { parseWrk } from './wrk.ts';

describe('what wrk prints', () => {
  const output = (more: string, p99 = '1.51ms'): string => `Running 1s test @ http://10.0.5.12/
  1 threads and 32 connections
  Latency Distribution
     50%  552.00us
     75%    0.90ms
     90%    1.10ms
     99%    ${p99}
  51614 requests in 1.00s, 62.10MB read
${more}Requests/sec:  51600.25
Transfer/sec:     62.05MB
`;

  it('has rate and percentiles, whatever their unit', () => {
    expect(parseWrk(output(''))).toEqual({ perSecond: 51_600.25, p50Ms: 0.552, p99Ms: 1.51, errors: 0 });
    expect(parseWrk(output('', '1.20s')).p99Ms).toBe(1_200);
  });

  it('has errors of sockets and of answers, which are added up', () => {
    const errors = '  Socket errors: connect 1, read 2, write 3, timeout 4\n  Non-2xx or 3xx responses: 5\n';
    expect(parseWrk(output(errors)).errors).toBe(15);
  });

  it('says 0 ms where nothing was answered, which counts as an error and no latency', () => {
    const nothing = output('')
      .replaceAll(/[\d.]+(us|ms)/g, '0.00us')
      .replace('51600.25', '0.00');
    expect(parseWrk(nothing)).toEqual({ perSecond: 0, p50Ms: Number.NaN, p99Ms: Number.NaN, errors: 1 });
  });

  it('is an error when it is something else', () => {
    expect(() => parseWrk('unable to connect')).toThrow('wrk said something else');
  });
});

describe('what h2load leaves', () => {
  it('has percentiles of each request in its log', () => {
    const lines = Array.from({ length: 200 }, (_, i) => `1732000000000000\t200\t${(i + 1) * 100}`);
    expect(parseH2loadLog(`${lines.join('\n')}\n`, 2)).toEqual({ perSecond: 100, p50Ms: 10.1, p99Ms: 19.9 });
  });

  it('counts failures once', () => {
    const line = 'requests: 9 total, 9 started, 9 done, 6 succeeded, 3 failed, 2 errored, 1 timeout';
    expect(parseH2loadErrors(line)).toBe(4);
    expect(() => parseH2loadErrors('')).toThrow('h2load said something else');
  });
});
