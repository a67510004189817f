import type { KubernetesObject } from '@weft/kubernetes';

/** Definitions that waypoints and their routes can't be without. */
const needed = ['gatewayclasses', 'gateways', 'grpcroutes', 'httproutes'].map(
  (plural) => `${plural}.gateway.networking.k8s.io`,
);

/**
 * Whether the installation brings the Gateway API's definitions, unless it is told what to do about them. Those of
 * somebody else are left alone by the chart, whatever is decided here.
 *
 * `missing`: the cluster lacks some. `ours`: an installation brought them, and goes on looking after them. `theirs`.
 */
export type GatewayApi =
  | { readonly kind: 'missing'; readonly names: readonly string[] }
  | { readonly kind: 'ours' }
  | { readonly kind: 'theirs' };

export function gatewayApi(
  definitions: readonly Pick<KubernetesObject, 'metadata'>[],
  release: { readonly name: string; readonly namespace: string },
): GatewayApi {
  const byName = new Map(definitions.map(({ metadata }) => [metadata.name, metadata.annotations ?? {}]));
  const names = needed.filter((name) => !byName.has(name));
  if (names.length > 0) return { kind: 'missing', names };
  const isOurs = needed.some((name) => {
    const annotations = byName.get(name) ?? {};
    return (
      annotations['meta.helm.sh/release-name'] === release.name &&
      annotations['meta.helm.sh/release-namespace'] === release.namespace
    );
  });
  return { kind: isOurs ? 'ours' : 'theirs' };
}

/** In one line, when it is worth one. */
export function describeGatewayApi(api: GatewayApi): string | undefined {
  return api.kind === 'missing'
    ? `The cluster lacks ${api.names.join(', ')}, which waypoints need; what is missing comes with the mesh, unless base.gatewayAPICRDs is false`
    : undefined;
}
