import type { EndpointSpec } from '../host.ts';

/** A healthy endpoint on port 80. */
export function spec(ip: string, o: Partial<EndpointSpec> = {}): EndpointSpec {
  return {
    address: { kind: 'ip', ip, port: 80 },
    additionalAddresses: [],
    hostname: '',
    metadata: new Map(),
    locality: { region: '', zone: '', subZone: '' },
    localityWeight: undefined,
    priority: 0,
    weight: 1,
    health: 'healthy',
    ...o,
  };
}
