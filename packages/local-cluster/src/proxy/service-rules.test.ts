import { describe, expect, it } from '@jest/globals';
import type { EndpointSlice, Service } from '@weft/kubernetes';
import { serviceRules } from './service-rules.ts';

const node = { nodeName: 'node-1', podCidr: '10.244.0.0/16', serviceCidr: '10.96.0.0/16' };

function service(spec: Service['spec'], status: Service['status'] = {}): Service {
  return {
    metadata: { name: 'web', namespace: 'shop' },
    spec: { clusterIPs: ['10.96.0.7'], ports: [{ name: 'http', port: 80, protocol: 'TCP' }], ...spec },
    status,
  };
}

function slice(...endpoints: NonNullable<EndpointSlice['endpoints']>): EndpointSlice {
  return {
    metadata: { name: 'web-1', namespace: 'shop', labels: { 'kubernetes.io/service-name': 'web' } },
    addressType: 'IPv4',
    ports: [{ name: 'http', port: 8080, protocol: 'TCP' }],
    endpoints,
  };
}

const ready = (ip: string, nodeName = 'node-1') => ({
  addresses: [ip],
  nodeName,
  conditions: { ready: true },
});
const leaving = (ip: string) => ({
  addresses: [ip],
  conditions: { ready: false, serving: true, terminating: true },
});

describe('service rules', () => {
  it('send a Service to its endpoints at random and refuse whatever is left', () => {
    expect(
      serviceRules([service({})], [slice(ready('10.244.0.2'), ready('10.244.1.2', 'node-2'))], node),
    ).toBe(`\
table ip weft-services {}
delete table ip weft-services
table ip weft-services {
  map service-addresses {
    type ipv4_addr . inet_proto . inet_service : verdict;
    elements = {
      10.96.0.7 . tcp . 80 : goto service/shop/web/80/tcp
    }
  }
  map node-ports {
    type inet_proto . inet_service : verdict;
  }
  chain masquerade-later {
    meta mark set meta mark or 0x4000;
  }
  chain endpoint/10.244.0.2/8080/tcp {
    ip saddr 10.244.0.2 jump masquerade-later;
    meta l4proto tcp dnat to 10.244.0.2:8080;
  }
  chain endpoint/10.244.1.2/8080/tcp {
    ip saddr 10.244.1.2 jump masquerade-later;
    meta l4proto tcp dnat to 10.244.1.2:8080;
  }
  chain service/shop/web/80/tcp {
    ip saddr != 10.244.0.0/16 jump masquerade-later;
    numgen random mod 2 vmap { 0 : goto endpoint/10.244.0.2/8080/tcp, 1 : goto endpoint/10.244.1.2/8080/tcp };
  }
  chain services {
    ip daddr . meta l4proto . th dport vmap @service-addresses;
    ip daddr != 127.0.0.0/8 fib daddr type local meta l4proto . th dport vmap @node-ports;
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    jump services;
  }
  chain output {
    type nat hook output priority -100;
    jump services;
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    meta mark & 0x4000 == 0 return;
    meta mark set meta mark xor 0x4000;
    masquerade fully-random;
  }
  chain refuse-forward {
    type filter hook forward priority filter;
    ip daddr { 10.96.0.0/16 } reject;
  }
  chain refuse-output {
    type filter hook output priority filter;
    ip daddr { 10.96.0.0/16 } reject;
  }
}
`);
  });

  it('leave a Service without endpoints out, so that it is refused', () => {
    expect(serviceRules([service({})], [slice()], node)).not.toContain('10.96.0.7');
  });

  it('fall back to terminating endpoints that still serve when no other is left', () => {
    const rules = serviceRules([service({})], [slice(leaving('10.244.0.9'))], node);
    expect(rules).toContain('goto endpoint/10.244.0.9/8080/tcp');
    expect(
      serviceRules([service({})], [slice(leaving('10.244.0.9'), ready('10.244.0.2'))], node),
    ).not.toContain('10.244.0.9');
  });

  it('keep to this node where the traffic policy says so, for inside and outside apart', () => {
    const spec = { internalTrafficPolicy: 'Local', ports: [{ name: 'http', port: 80, nodePort: 30080 }] };
    const rules = serviceRules(
      [service(spec)],
      [slice(ready('10.244.0.2'), ready('10.244.1.2', 'node-2'))],
      node,
    );
    expect(rules).toMatch(
      /chain service\/shop\/web\/80\/tcp \{[^}]*goto endpoint\/10\.244\.0\.2\/8080\/tcp;/,
    );
    expect(rules).toMatch(/chain external\/shop\/web\/80\/tcp \{[^}]*numgen random mod 2/);
    expect(rules).toContain('tcp . 30080 : goto external/shop/web/80/tcp');
  });

  it('stick to an endpoint by client address when asked to', () => {
    const rules = serviceRules(
      [service({ sessionAffinity: 'ClientIP' })],
      [slice(ready('10.244.0.2'), ready('10.244.0.3'))],
      node,
    );
    expect(rules).toContain('jhash ip saddr mod 2');
  });

  it('answer on load balancer addresses, and refuse them when nothing is behind', () => {
    const status = { loadBalancer: { ingress: [{ ip: '172.18.0.193' }] } };
    const rules = serviceRules(
      [service({ type: 'LoadBalancer' }, status)],
      [slice(ready('10.244.0.2'))],
      node,
    );
    expect(rules).toContain('172.18.0.193 . tcp . 80 : goto external/shop/web/80/tcp');
    expect(rules).toContain('ip daddr { 10.96.0.0/16, 172.18.0.193 } reject');
  });

  it('ignore headless Services', () => {
    expect(
      serviceRules([service({ clusterIPs: ['None'] })], [slice(ready('10.244.0.2'))], node),
    ).not.toContain('10.244.0.2');
  });
});
