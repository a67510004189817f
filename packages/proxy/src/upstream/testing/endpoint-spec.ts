import { endpointAt, type EndpointSpec } from '../host.ts';

/** A healthy endpoint on port 80. */
export function spec(ip: string, o: Partial<EndpointSpec> = {}): EndpointSpec {
  return { ...endpointAt({ kind: 'ip', ip, port: 80 }), ...o };
}
