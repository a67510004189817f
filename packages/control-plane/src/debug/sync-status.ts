import { EnvoyTypeUrl, TypeUrl } from '@weft/api';
import { type ConnectionStatus, type SyncState, type TypeStatus, nodeMetadata } from '@weft/xds';
import protobuf from 'protobufjs/minimal.js';

/** Type of the entries of `istio.io/debug/syncz`. */
export const CLIENT_CONFIG_TYPE_URL = 'type.googleapis.com/envoy.service.status.v3.ClientConfig';

/** istiod's names of the nonces of each type. */
const nonceNames: ReadonlyMap<string, string> = new Map([
  [EnvoyTypeUrl.cluster, 'cluster'],
  [EnvoyTypeUrl.listener, 'listener'],
  [EnvoyTypeUrl.route, 'route'],
  [EnvoyTypeUrl.endpoint, 'endpoint'],
  [TypeUrl.address, 'address'],
  [TypeUrl.workload, 'workload'],
  [TypeUrl.authorization, 'authorization'],
]);

/** An entry of istiod's `/debug/syncz`, with what this server knows of each type beside it. */
export function syncStatus({ id, node, types }: ConnectionStatus): Readonly<Record<string, unknown>> {
  const [type = '', , name = ''] = node?.id?.split('~') ?? [];
  const version = nodeMetadata(node, 'ISTIO_VERSION');
  const nonces = types.flatMap(({ typeUrl, sentNonce, acknowledgedNonce }) => {
    const prefix = nonceNames.get(typeUrl);
    if (prefix === undefined) return [];
    return [
      ...(sentNonce === undefined ? [] : [[`${prefix}_sent`, sentNonce]]),
      ...(acknowledgedNonce === undefined ? [] : [[`${prefix}_acked`, acknowledgedNonce]]),
    ];
  });
  return {
    cluster_id: nodeMetadata(node, 'CLUSTER_ID') ?? '',
    proxy: name,
    proxy_type: type,
    ...(version === undefined ? {} : { proxy_version: version, istio_version: version }),
    ...Object.fromEntries(nonces),
    connection: id,
    types: Object.fromEntries(types.map(({ typeUrl, ...status }) => [typeUrl, status])),
  };
}

/** An entry of istiod's `/debug/adsz` and `/debug/connections`. */
export function connectionSummary({ id, address, node, connectedAt, types }: ConnectionStatus): unknown {
  return {
    connectionId: id,
    address,
    connectedAt,
    node: node?.id ?? '',
    watches: Object.fromEntries(
      types.map(({ typeUrl, wildcard, names }) => [typeUrl, wildcard ? '*' : names]),
    ),
  };
}

/** Of envoy.service.status.v3.ConfigStatus. */
const configStatus: Readonly<Record<SyncState, number>> = { SYNCED: 1, NOT_SENT: 2, STALE: 3, ERROR: 4 };

const LENGTH_DELIMITED = 2;
const VARINT = 0;
const message = (field: number): number => (field << 3) | LENGTH_DELIMITED;
const integer = (field: number): number => (field << 3) | VARINT;

/** envoy.service.status.v3.ClientConfig, as `istioctl proxy-status` reads it. */
export function clientConfig({ node, types }: ConnectionStatus): Uint8Array {
  const writer = protobuf.Writer.create();
  const fields = writer
    .uint32(message(1))
    .fork()
    .uint32(message(1))
    .string(node?.id ?? '');
  fields.uint32(message(3)).fork();
  for (const key of ['CLUSTER_ID', 'NAMESPACE', 'ISTIO_VERSION']) {
    const value = nodeMetadata(node, key);
    if (value === undefined) continue;
    fields.uint32(message(1)).fork().uint32(message(1)).string(key);
    fields.uint32(message(2)).fork().uint32(message(3)).string(value).ldelim().ldelim();
  }
  writer.ldelim().ldelim();
  for (const type of types) writeGenericConfig(writer, type);
  return writer.finish();
}

/** envoy.service.status.v3.ClientConfig.GenericXdsConfig. */
function writeGenericConfig(writer: protobuf.Writer, { typeUrl, state, error, sentAt }: TypeStatus): void {
  writer.uint32(message(3)).fork().uint32(message(1)).string(typeUrl);
  if (sentAt !== undefined) {
    const seconds = Math.floor(sentAt.getTime() / 1_000);
    writer.uint32(message(5)).fork().uint32(integer(1)).int64(seconds).ldelim();
  }
  writer.uint32(integer(6)).int32(configStatus[state]);
  if (error !== undefined) writer.uint32(message(8)).fork().uint32(message(3)).string(error).ldelim();
  writer.ldelim();
}
