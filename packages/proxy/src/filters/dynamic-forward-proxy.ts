import { envoy } from '@weft/api/envoy';
import type { HttpFilterFactory, NetworkFilterFactory } from '../engine/types.ts';
import { DYNAMIC_PORT_FILTER_STATE } from '../upstream/discovery/dynamic-forward.ts';
import { invalid } from '../matching/index.ts';
import { compileMessage } from './message.ts';

/**
 * `envoy.filters.http.dynamic_forward_proxy`. Envoy looks the name up here, before the router runs; this engine does it
 * with each connection, so there is nothing to do but to take the configuration.
 */
export const httpDynamicForwardProxy: HttpFilterFactory = {
  name: 'envoy.filters.http.dynamic_forward_proxy',
  typeUrls: ['type.googleapis.com/envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig'],
  compile(config, context) {
    const { FilterConfig } = envoy.extensions.filters.http.dynamic_forward_proxy.v3;
    compileMessage(FilterConfig, config, context, ({ dnsCacheConfig }) => {
      if (!dnsCacheConfig) invalid('is required', 'dns_cache_config');
    });
    return { create: () => ({}) };
  },
};

/** `envoy.filters.network.sni_dynamic_forward_proxy`: a TLS handshake names a host, and here is the port. */
export const sniDynamicForwardProxy: NetworkFilterFactory = {
  name: 'envoy.filters.network.sni_dynamic_forward_proxy',
  typeUrls: [
    'type.googleapis.com/envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3.FilterConfig',
  ],
  compile(config, context) {
    const { FilterConfig } = envoy.extensions.filters.network.sni_dynamic_forward_proxy.v3;
    const port = compileMessage(FilterConfig, config, context, ({ dnsCacheConfig, portValue }) => {
      if (!dnsCacheConfig) invalid('is required', 'dns_cache_config');
      return portValue ?? 0;
    });
    return {
      kind: 'filter',
      create: () => ({
        onNewConnection: (_connection, { connection: { filterState } }) => {
          if (port > 0 && filterState.text(DYNAMIC_PORT_FILTER_STATE) === undefined)
            filterState.set(DYNAMIC_PORT_FILTER_STATE, String(port));
          return 'continue';
        },
      }),
    };
  },
};
