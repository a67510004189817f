import { describe, expect, it } from '@jest/globals';
import { Environment } from '@weft/telemetry';
import { proxyMode } from './proxy-mode.ts';

const mode = (variables: Record<string, string>): unknown => proxyMode(new Environment(variables));

describe('proxyMode', () => {
  it('is shared unless told', () => {
    expect(mode({})).toEqual({ kind: 'shared' });
    expect(mode({ PROXY_MODE: 'shared', PROXY_WORKLOAD_INFO: 'ignored' })).toEqual({ kind: 'shared' });
  });

  it('is for one pod when dedicated', () => {
    expect(mode({ PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: 'shop/web-1/web' })).toEqual({
      kind: 'dedicated',
      pod: { namespace: 'shop', name: 'web-1', serviceAccount: 'web' },
    });
  });

  it.each(['', 'shop/web-1', 'shop//web', 'shop/web-1/web/more'])('refuses the workload %j', (info) => {
    expect(() => mode({ PROXY_MODE: 'dedicated', PROXY_WORKLOAD_INFO: info })).toThrow(
      'namespace/name/serviceAccount',
    );
  });

  it('refuses a mode that nobody knows', () => {
    expect(() => mode({ PROXY_MODE: 'sidecar' })).toThrow('expected shared or dedicated');
  });
});
