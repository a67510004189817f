import { google } from '@weft/api/envoy';
import type { HeaderMap, MetadataStruct, NodeInfo, WorkloadMetadata } from '../../engine/types.ts';
import { plainToStruct, structToPlain } from '../message.ts';

/** Istio's exchange of names in headers: who the sender is, and the id of its node. */
export const PEER_METADATA = 'x-envoy-peer-metadata';
export const PEER_METADATA_ID = 'x-envoy-peer-metadata-id';

const CANONICAL_NAME = 'service.istio.io/canonical-name';
const CANONICAL_REVISION = 'service.istio.io/canonical-revision';

/** What a neighbour says of itself: a claim, good for metrics only. Undefined: nothing that could be read. */
export function peerOfHeaders(headers: HeaderMap): WorkloadMetadata | undefined {
  const encoded = headers.get(PEER_METADATA);
  if (encoded === undefined) return undefined;
  let struct: MetadataStruct;
  try {
    struct = structToPlain(google.protobuf.Struct.decode(Buffer.from(encoded, 'base64')));
  } catch {
    return undefined; // Whatever that is, it is no reason to refuse the request.
  }
  const fields = workloadOf(struct);
  return Object.keys(fields).length === 0 ? undefined : fields;
}

/** The node's own metadata in that form. */
export function headersOfNode({ id, metadata }: NodeInfo): readonly (readonly [string, string])[] {
  const labels = kept(metadata['LABELS'], labelFields);
  const own = {
    ...kept(metadata, nodeFields),
    ...(Object.keys(labels).length === 0 ? {} : { LABELS: labels }),
  };
  const bytes = google.protobuf.Struct.encode(plainToStruct(own)).finish();
  return [
    [PEER_METADATA, Buffer.from(bytes).toString('base64')],
    [PEER_METADATA_ID, id],
  ];
}

/** The same as members of a `baggage` header. */
export function baggageOfNode({ metadata }: NodeInfo): string {
  const { name, namespace, cluster, canonicalName, canonicalRevision } = workloadOf(metadata);
  const members: readonly (readonly [string, string | undefined])[] = [
    ['k8s.cluster.name', cluster],
    ['k8s.namespace.name', namespace],
    ['k8s.deployment.name', name],
    ['service.name', canonicalName],
    ['service.version', canonicalRevision],
  ];
  return members
    .flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${encodeURIComponent(value)}`]))
    .join(',');
}

const nodeFields: ReadonlySet<string> = new Set([
  'NAME',
  'NAMESPACE',
  'WORKLOAD_NAME',
  'OWNER',
  'CLUSTER_ID',
]);
const labelFields: ReadonlySet<string> = new Set([CANONICAL_NAME, CANONICAL_REVISION, 'app', 'version']);

function workloadOf(struct: MetadataStruct): WorkloadMetadata {
  const own = kept(struct, nodeFields);
  const labels = kept(struct['LABELS'], labelFields);
  const fields = {
    name: own['WORKLOAD_NAME'],
    namespace: own['NAMESPACE'],
    cluster: own['CLUSTER_ID'],
    canonicalName: labels[CANONICAL_NAME],
    canonicalRevision: labels[CANONICAL_REVISION],
    app: labels['app'],
    version: labels['version'],
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

/** Those of the wanted fields that are text, and say something. */
function kept(struct: unknown, wanted: ReadonlySet<string>): Readonly<Record<string, string>> {
  if (typeof struct !== 'object' || struct === null) return {};
  return Object.fromEntries(
    Object.entries(struct).filter(
      ([name, value]) => wanted.has(name) && typeof value === 'string' && value !== '',
    ),
  );
}
