import { istio } from '@weft/api/workload';
import type { SeqpacketPacket } from '@weft/linux';
import { describeError, WeftError } from '@weft/telemetry';
import { ZdsViolation, type Pod } from './pod-manager.ts';

const { WorkloadRequest, WorkloadResponse, ZdsHello, Version } = istio.workload.zds;

export type ZdsRequest =
  | { readonly kind: 'add'; readonly pod: Pod; readonly namespaceFd: number }
  | { readonly kind: 'keep'; readonly uid: string }
  | { readonly kind: 'delete'; readonly uid: string }
  | { readonly kind: 'snapshot-sent' };

/**
 * Reads a packet of the agent. Throws WEFT1331 for one that can't be understood, and a ZdsViolation for one
 * that can but mustn't be. The packet's descriptors are used only by `add`; the caller closes the others.
 */
export function parseZdsRequest({ bytes, fds, truncated }: SeqpacketPacket): ZdsRequest {
  if (truncated) throw new WeftError('WEFT1331', `a packet was truncated at ${bytes.length} bytes`);
  const request = decode(bytes);
  const { add, keep, del, snapshotSent } = request;
  const expected = add ? 1 : 0;
  if (fds.length !== expected) {
    throw new WeftError('WEFT1331', `a packet came with ${fds.length} descriptors instead of ${expected}`);
  }
  if (add) {
    const { uid, workloadInfo } = add;
    const [namespaceFd] = fds;
    if (!uid || namespaceFd === undefined) throw new WeftError('WEFT1331', 'Add without uid');
    if (!workloadInfo) throw new ZdsViolation(`pod ${uid}: Add without workload_info`);
    const { name, namespace, serviceAccount } = workloadInfo;
    return {
      kind: 'add',
      pod: { uid, name: name ?? '', namespace: namespace ?? '', serviceAccount: serviceAccount ?? '' },
      namespaceFd,
    };
  }
  if (keep) return { kind: 'keep', uid: keep.uid ?? '' };
  if (del) return { kind: 'delete', uid: del.uid ?? '' };
  if (snapshotSent) return { kind: 'snapshot-sent' };
  throw new WeftError('WEFT1331', 'a packet has no request');
}

function decode(bytes: Uint8Array): istio.workload.zds.WorkloadRequest.$Properties {
  try {
    return WorkloadRequest.decode(bytes);
  } catch (error) {
    throw new WeftError('WEFT1331', 'a packet cannot be decoded', { cause: error });
  }
}

export function encodeHello(): Uint8Array {
  return ZdsHello.encode({ version: Version.V1 }).finish();
}

/** The agent reads at most this many bytes a packet, of which an error may take all but a few. */
const MAX_ERROR_CHARACTERS = 240;

export function encodeAck(error: unknown): Uint8Array {
  const text = error === undefined ? '' : describeError(error).slice(0, MAX_ERROR_CHARACTERS);
  return WorkloadResponse.encode({ ack: { error: text } }).finish();
}
