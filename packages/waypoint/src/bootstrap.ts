import type { Config } from './config.ts';
import { xdsNode } from './node.ts';

/** Cluster names that the control plane's resources refer to. */
export const SDS_CLUSTER = 'sds-grpc';
export const ADS_CLUSTER = 'xds-grpc';

/**
 * What the engine starts from, as ProtoJSON of `envoy.config.bootstrap.v3.Bootstrap`. Everything that concerns traffic
 * comes by ADS; how to reach ADS and SDS is supplied by this process, since tokens and roots rotate.
 */
export function bootstrap(config: Config): Readonly<Record<string, unknown>> {
  const { id, cluster } = xdsNode(config);
  return {
    node: { id, cluster },
    admin: { address: { socketAddress: { address: '127.0.0.1', portValue: config.ports.admin } } },
    dynamicResources: {
      adsConfig: {
        apiType: 'DELTA_GRPC',
        transportApiVersion: 'V3',
        setNodeOnFirstMessageOnly: true,
        grpcServices: [{ envoyGrpc: { clusterName: ADS_CLUSTER } }],
      },
      cdsConfig: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
      ldsConfig: { ads: {}, initialFetchTimeout: '0s', resourceApiVersion: 'V3' },
    },
    bootstrapExtensions: [
      {
        name: 'envoy.bootstrap.internal_listener',
        typedConfig: {
          '@type': 'type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener',
        },
      },
    ],
  };
}
