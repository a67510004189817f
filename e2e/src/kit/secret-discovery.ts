import grpc from '@grpc/grpc-js';
import { EnvoyTypeUrl } from '@weft/api';
import { envoy as discovery } from '@weft/api/discovery';
import { envoy } from '@weft/api/envoy';
import { CertificateAuthority, createKeyPair, privateKeyPem } from '@weft/spiffe';

const { DiscoveryRequest, DiscoveryResponse } = discovery.service.discovery.v3;
const { Secret } = envoy.extensions.transport_sockets.tls.v3;

/** SDS as a waypoint's own process serves it to its proxy: `default` and `ROOTCA`, of an authority made for the test. */
export async function addSecretDiscovery(server: grpc.Server, identity: string): Promise<void> {
  const keyPem = privateKeyPem((await createKeyPair()).privateKey);
  const subject = { organizations: ['test.local'] };
  const authority = await CertificateAuthority.createSelfSigned({ subject, keyPem });
  const { publicKey, privateKey } = await createKeyPair();
  const { chainPem } = authority.sign({ publicKey, uriSans: [identity], ttlMs: 3_600_000 });
  const inline = (inlineString: string) => ({ inlineString });
  const secrets = new Map([
    [
      'default',
      {
        name: 'default',
        tlsCertificate: { certificateChain: inline(chainPem), privateKey: inline(privateKeyPem(privateKey)) },
      },
    ],
    ['ROOTCA', { name: 'ROOTCA', validationContext: { trustedCa: inline(authority.rootsPem) } }],
  ]);
  const keep = (bytes: Buffer): Buffer => bytes;
  const method: grpc.MethodDefinition<Buffer, Buffer> = {
    path: '/envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets',
    requestStream: true,
    responseStream: true,
    requestSerialize: keep,
    requestDeserialize: keep,
    responseSerialize: keep,
    responseDeserialize: keep,
  };
  server.addService(
    { streamSecrets: method },
    {
      streamSecrets: (call: grpc.ServerDuplexStream<Buffer, Buffer>) => {
        call.on('error', () => undefined);
        call.on('end', () => call.end());
        call.on('data', (bytes: Buffer) => {
          const { resourceNames, responseNonce } = DiscoveryRequest.decode(bytes);
          if (responseNonce !== '') return; // an acknowledgement: nothing changes here
          const resources = resourceNames.flatMap((name) => {
            const secret = secrets.get(name);
            return secret === undefined
              ? []
              : [{ type_url: EnvoyTypeUrl.secret, value: Secret.encode(secret).finish() }];
          });
          const typeUrl = EnvoyTypeUrl.secret;
          const response = { versionInfo: '1', nonce: '1', typeUrl, resources };
          call.write(Buffer.from(DiscoveryResponse.encode(response).finish()));
        });
      },
    },
  );
}
