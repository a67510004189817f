import { describeError } from '@weft/telemetry';
import type { CertificatePems, ToControl, ToData } from '../data/messages.ts';
import { workloadIdentity } from '../state/workload.ts';
import type { AccessLog } from '../telemetry/access-log.ts';
import type { ZtunnelMetrics } from '../telemetry/metrics.ts';
import type { NodeCertificates } from './certificates.ts';
import type { ConnectionController } from './connection-controller.ts';
import type { ConnectionTable } from './connection-table.ts';
import { addressOfName, type PodNamesOptions } from './pod-names.ts';

export interface DataMessagesOptions {
  readonly controller: ConnectionController;
  readonly connections: ConnectionTable;
  readonly certificates: NodeCertificates;
  readonly names: PodNamesOptions;
  readonly access: AccessLog;
  readonly metrics: ZtunnelMetrics;
}

/** Brings what data threads ask and report to whoever answers for it. */
export class DataMessages {
  private readonly parts: DataMessagesOptions;

  constructor(parts: DataMessagesOptions) {
    this.parts = parts;
  }

  onMessage(message: Exclude<ToControl, { kind: 'answer' }>, reply: (message: ToData) => void): void {
    const { controller, connections, access, metrics } = this.parts;
    switch (message.kind) {
      case 'outbound':
      case 'inbound-plaintext':
      case 'inbound-tunnel':
        return void controller.onQuestion(message);
      case 'report':
        for (let i = 0; i + 2 < message.bytes.length; i += 3) {
          const [id = 0, received = 0, sent = 0] = message.bytes.subarray(i, i + 3);
          connections.moved(id, received, sent);
        }
        for (const ms of message.roundTripsMs) metrics.planRoundTrip.observe(ms / 1_000);
        return;
      case 'closed':
        return controller.onClosed(message);
      case 'resolve':
        return void this.addressFor(message).then(
          (ip) => reply({ kind: 'resolved', call: message.call, ip }),
          () => reply({ kind: 'resolved', call: message.call, ip: undefined }),
        );
      case 'inner-peer':
        return controller.onInnerPeer(message);
      case 'trouble':
        access.refused('inbound', message.peer, undefined, message.failure);
        if (message.failure.flag === 'CERT_REVOKED') metrics.crlRejections.inc({ reporter: 'destination' });
        return metrics.errors.inc({ code: message.failure.code });
      case 'certificate':
        return void this.certificateOf(message.of).then(
          (pems) => reply({ kind: 'certificate', call: message.call, pems }),
          (error: unknown) => reply({ kind: 'certificate', call: message.call, error: describeError(error) }),
        );
    }
  }

  private async addressFor({ podUid, hostname, family }: Extract<ToControl, { kind: 'resolve' }>) {
    const client = await this.parts.controller.localWorkload(podUid);
    return addressOfName({ name: hostname, family, client }, this.parts.names);
  }

  private async certificateOf(of: { podUid: string } | { identity: string }): Promise<CertificatePems> {
    const { certificates, controller } = this.parts;
    if ('identity' in of) return certificates.pems(of.identity);
    return certificates.pems(workloadIdentity(await controller.localWorkload(of.podUid)));
  }
}
