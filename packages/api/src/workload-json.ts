import protojson from 'protobufjs/ext/protojson.js';
import { lazyRoot } from './lazy-root.ts';

const reflection = lazyRoot('workload.json');

/**
 * ProtoJSON of the workload API's messages, for golden tests and dumps.
 * @param typeName for instance `istio.workload.Address`
 */
export function workloadToJson(typeName: string, bytes: Uint8Array): unknown {
  const type = reflection().lookupType(typeName);
  return protojson.toJson(type, type.decode(bytes));
}
