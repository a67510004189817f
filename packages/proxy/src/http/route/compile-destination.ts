import type { envoy } from '@weft/api/envoy';
import type { CompileContext, HeaderMap, MetadataStruct } from '../../engine/types.ts';
import { at, invalid } from '../../matching/index.ts';
import { compileMetadata } from '../../filters/message.ts';
import { compileFilterConfigs } from './filter-configs.ts';
import { compileHeaderMutations, noMutations } from './header-mutations.ts';
import type { ChosenCluster } from './route.ts';

const LB_NAMESPACE = 'envoy.lb';

/** Which cluster a request goes to: one, the one a header names, or one by weight (`random` in [0, 1)). */
export function compileDestination(
  config: envoy.config.route.v3.RouteAction.$Properties,
  context: CompileContext,
): (headers: HeaderMap, random: number) => ChosenCluster {
  const metadataMatch = lbMetadata(config.metadataMatch);
  const plain = (name: string | undefined): ChosenCluster => ({
    name,
    metadataMatch,
    request: noMutations,
    response: noMutations,
    filterConfigs: new Map(),
    hostRewrite: undefined,
  });
  switch (config.clusterSpecifier) {
    case 'cluster': {
      const name = config.cluster ?? '';
      if (name === '') invalid('must not be empty', 'cluster');
      const chosen = plain(name);
      return () => chosen;
    }
    case 'clusterHeader': {
      const header = config.clusterHeader ?? '';
      return (headers) => plain(headers.get(header));
    }
    case 'weightedClusters':
      return compileWeighted(config.weightedClusters ?? {}, metadataMatch, context);
    default:
      return invalid('a cluster is required');
  }
}

function compileWeighted(
  config: envoy.config.route.v3.WeightedCluster.$Properties,
  routeMetadata: MetadataStruct | undefined,
  context: CompileContext,
): (headers: HeaderMap, random: number) => ChosenCluster {
  const choices = (config.clusters ?? []).map((entry, i) =>
    at(`weighted_clusters.clusters[${i}]`, () => ({
      weight: entry.weight?.value ?? 0,
      header: entry.clusterHeader ?? '',
      chosen: {
        name: entry.name || undefined,
        metadataMatch: mergeMatch(routeMetadata, lbMetadata(entry.metadataMatch)),
        request: compileHeaderMutations(entry.requestHeadersToAdd, entry.requestHeadersToRemove, 'request'),
        response: compileHeaderMutations(
          entry.responseHeadersToAdd,
          entry.responseHeadersToRemove,
          'response',
        ),
        filterConfigs: compileFilterConfigs(entry.typedPerFilterConfig, context),
        hostRewrite: entry.hostRewriteLiteral || undefined,
      } satisfies ChosenCluster,
    })),
  );
  const total = choices.reduce((sum, { weight }) => sum + weight, 0);
  const first = choices[0];
  if (first === undefined || total === 0)
    return invalid('the weights must not all be zero', 'weighted_clusters');
  return (headers, random) => {
    let at = random * total;
    let picked = first;
    for (const choice of choices) {
      if (choice.weight === 0) continue;
      picked = choice;
      at -= choice.weight;
      if (at < 0) break;
    }
    return picked.header === '' ? picked.chosen : { ...picked.chosen, name: headers.get(picked.header) };
  };
}

function lbMetadata(
  metadata: envoy.config.core.v3.Metadata.$Properties | null | undefined,
): MetadataStruct | undefined {
  return compileMetadata(metadata).get(LB_NAMESPACE);
}

function mergeMatch(
  a: MetadataStruct | undefined,
  b: MetadataStruct | undefined,
): MetadataStruct | undefined {
  return a === undefined ? b : { ...a, ...b };
}
