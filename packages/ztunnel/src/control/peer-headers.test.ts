import { describe, expect, it } from '@jest/globals';
import { readPeerHeaders } from './peer-headers.ts';

describe('headers of a peer', () => {
  it('describe it, where they may be read', () => {
    const headers: [string, string][] = [
      ['baggage', 'k8s.namespace.name=a,k8s.job.name=b'],
      ['forwarded', 'for="10.0.0.1:4000";host="web.a"'],
      ['x-forwarded-network', 'west'],
    ];
    expect(readPeerHeaders(headers, true)).toMatchObject({
      description: { namespace: 'a', workloadName: 'b', clusterId: undefined },
      forwardedHost: 'web.a',
      network: 'west',
    });
    expect(readPeerHeaders(headers, false).description).toBeUndefined();
  });

  it('are kept only as far as they are names', () => {
    const long = 'x'.repeat(254);
    const headers: [string, string][] = [
      ['baggage', `k8s.cluster.name=${long},k8s.namespace.name=a,service.name=${long}`],
      ['forwarded', `for="10.0.0.1:4000";host=${long}`],
    ];
    const { description, forwardedHost } = readPeerHeaders(headers, true);
    expect(description).toMatchObject({ clusterId: undefined, namespace: 'a', canonicalName: undefined });
    expect(forwardedHost).toBeUndefined();
  });
});
