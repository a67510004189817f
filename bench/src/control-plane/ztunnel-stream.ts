import grpc from '@grpc/grpc-js';
import { DELTA_ADS_METHOD, TypeUrl } from '@weft/api';
import { envoy } from '@weft/api/discovery';
import { readDeltaResponse } from '@weft/xds';

const { DeltaDiscoveryRequest } = envoy.service.discovery.v3;

/**
 * What a ztunnel asks of its control plane, without what it does of the answer: whoever measures a control plane
 * doesn't want to wait for a hundred ztunnels on the same two cores.
 */
export class ZtunnelStream {
  /** Resources named in responses so far. */
  resources = 0;
  responses = 0;
  private readonly client: grpc.Client;
  private readonly call: grpc.ClientDuplexStream<Uint8Array, Uint8Array>;
  private readonly waiting = new Set<() => void>();

  constructor(port: number, node: string) {
    this.client = new grpc.Client(`127.0.0.1:${port}`, grpc.credentials.createInsecure(), {
      'grpc.max_receive_message_length': -1,
      'grpc.use_local_subchannel_pool': 1,
    });
    const identity = (bytes: Uint8Array): Buffer => Buffer.from(bytes);
    this.call = this.client.makeBidiStreamRequest(DELTA_ADS_METHOD, identity, (bytes) => bytes);
    this.call.on('error', () => undefined);
    this.call.on('data', (bytes: Uint8Array) => this.received(bytes));
    for (const typeUrl of [TypeUrl.address, TypeUrl.authorization]) {
      this.send({ node: { id: `ztunnel~10.0.0.1~${node}.istio-system~cluster.local` }, typeUrl });
    }
  }

  /** Until so many resources have come. */
  async until(count: number): Promise<void> {
    while (this.resources < count) await new Promise<void>((resolve) => void this.waiting.add(resolve));
  }

  close(): void {
    this.call.cancel();
    this.client.close();
  }

  private received(bytes: Uint8Array): void {
    const { typeUrl, nonce, resourceCount } = readDeltaResponse(bytes);
    this.send({ typeUrl, responseNonce: nonce });
    this.responses++;
    this.resources += resourceCount;
    for (const resolve of this.waiting) resolve();
    this.waiting.clear();
  }

  private send(fields: envoy.service.discovery.v3.DeltaDiscoveryRequest.$Properties): void {
    this.call.write(DeltaDiscoveryRequest.encode(DeltaDiscoveryRequest.create(fields)).finish());
  }
}
