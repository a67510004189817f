import { envoy } from '@weft/api/envoy';
import { ConfigError, type EndpointProvider } from '../../engine/types.ts';
import { InvalidValue } from '../../matching/index.ts';
import { compileEndpoints, type Endpoints } from '../config/endpoints.ts';
import type { Discovery, EndpointSink } from './discovery.ts';

const { ClusterLoadAssignment } = envoy.config.endpoint.v3;

/** Hosts by EDS. An assignment that can't be used is rejected; the hosts stay as they were. */
export function discoverByEds(
  o: { readonly serviceName: string; readonly configSource: Uint8Array; readonly provider: EndpointProvider },
  sink: EndpointSink,
): Discovery {
  const stop = o.provider.watch({
    name: o.serviceName,
    configSource: o.configSource,
    check: (assignment) => void decodeEndpoints(o.serviceName, assignment),
    onChange: (assignment) => {
      try {
        sink.update(decodeEndpoints(o.serviceName, assignment));
      } catch (error) {
        sink.failed(error);
        throw error;
      }
      sink.settled();
    },
    onMissing: () => sink.settled(),
  });
  return { close: stop };
}

/** @throws ConfigError */
export function decodeEndpoints(name: string, assignment: Uint8Array): Endpoints {
  try {
    return compileEndpoints(ClusterLoadAssignment.decode(assignment));
  } catch (error) {
    if (error instanceof InvalidValue) throw new ConfigError(name, error.path, error.reason);
    throw new ConfigError(name, '', 'malformed message', { cause: error });
  }
}
