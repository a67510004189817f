import { google } from '@weft/api/envoy';
import type { HeaderMap, MetadataStruct, NodeInfo, WorkloadMetadata } from '../../engine/types.ts';
import { structToPlain } from '../message.ts';

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
  const own = Object.entries(metadata).filter(([key]) => nodeFields.has(key));
  const labels = labelsOf(metadata);
  const fields = Object.fromEntries(
    own.flatMap(([key, value]): [string, google.protobuf.Value.$Properties][] =>
      typeof value === 'string' ? [[key, { stringValue: value }]] : [],
    ),
  );
  const kept = Object.entries(labels).filter(([key]) => labelFields.has(key));
  if (kept.length > 0) {
    const text = kept.map(([key, stringValue = '']): [string, google.protobuf.Value.$Properties] => [
      key,
      { stringValue },
    ]);
    fields['LABELS'] = { structValue: { fields: Object.fromEntries(text) } };
  }
  const bytes = google.protobuf.Struct.encode({ fields }).finish();
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
  const labels = labelsOf(struct);
  const fields = {
    name: textOf(struct['WORKLOAD_NAME']),
    namespace: textOf(struct['NAMESPACE']),
    cluster: textOf(struct['CLUSTER_ID']),
    canonicalName: labels[CANONICAL_NAME],
    canonicalRevision: labels[CANONICAL_REVISION],
    app: labels['app'],
    version: labels['version'],
  };
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function labelsOf(struct: MetadataStruct): Readonly<Record<string, string | undefined>> {
  const labels = struct['LABELS'];
  if (typeof labels !== 'object' || labels === null || Array.isArray(labels)) return {};
  return Object.fromEntries(Object.entries(labels).map(([key, value]) => [key, textOf(value)]));
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}
