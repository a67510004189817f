import { TLSSocket } from 'node:tls';
import { envoy } from '@weft/api/envoy';
import { describeError } from '@weft/telemetry';
import type { ByteStream, CompileContext } from '../engine/types.ts';
import { compileMessage } from '../filters/message.ts';
import { invalid } from '../matching/index.ts';
import { compileUpstreamTls } from '../upstream/config/tls-context.ts';
import { tlsInfo } from '../upstream/tls/tls-info.ts';
import { UpstreamTls } from '../upstream/tls/upstream-tls.ts';
import { verifyPeer } from '../upstream/tls/verify-peer.ts';
import { SocketStream, type AcceptedStream } from './socket-stream.ts';
import { StreamDuplex } from './stream-duplex.ts';

const { DownstreamTlsContext, UpstreamTlsContext, TlsParameters } = envoy.extensions.transport_sockets.tls.v3;

export type TlsFailure =
  | { readonly kind: 'no-certificate'; readonly reason: string }
  | { readonly kind: 'handshake'; readonly reason: string }
  | { readonly kind: 'verification'; readonly reason: string; readonly stat: string };

export interface HandshakeHandlers {
  /** `connection.info` is the accepted connection's, with what TLS knows. */
  onSecure(connection: ByteStream): void;
  /** The connection is closed, or being so. */
  onFailure(failure: TlsFailure): void;
}

/** The server side of a TLS context; its secrets rotate under it, open connections keep theirs. */
export class DownstreamTls {
  private readonly material: UpstreamTls;
  private readonly alpnProtocols: readonly string[];
  private readonly requireClientCertificate: boolean;
  private readonly asksForCertificate: boolean;

  constructor(config: Uint8Array, context: CompileContext) {
    const { settings, requireClientCertificate } = compileMessage(
      DownstreamTlsContext,
      config,
      context,
      (message) => {
        if (message.requireSni?.value === true) invalid('is not supported', 'require_sni');
        return {
          settings: commonSettings(message),
          requireClientCertificate: message.requireClientCertificate,
        };
      },
    );
    if (settings.certificate === undefined) context.fail('no certificate', 'common_tls_context');
    this.alpnProtocols = settings.alpnProtocols;
    this.requireClientCertificate = requireClientCertificate?.value ?? false;
    this.asksForCertificate = this.requireClientCertificate || settings.validation !== undefined;
    const warm = context.warmUp('secrets');
    this.material = new UpstreamTls({
      config: settings,
      secrets: context.engine.secrets,
      onReady: warm,
      onMissing: warm,
      onBadSecret: (error) =>
        context.engine.logger.warn('secret rejected', {
          listener: context.resource,
          error: describeError(error),
        }),
    });
    if (this.material.isReady) warm();
  }

  get protocols(): readonly string[] {
    return this.alpnProtocols;
  }

  /** Takes the connection over; one of the handlers is called, later. Returns what gives up. */
  handshake(connection: AcceptedStream, handlers: HandshakeHandlers): () => void {
    const { info } = connection;
    const material = this.material.current;
    if (material === undefined) {
      connection.reset();
      queueMicrotask(() => handlers.onFailure({ kind: 'no-certificate', reason: 'no certificate yet' }));
      return () => undefined;
    }
    const carrier = connection instanceof SocketStream ? connection.release() : undefined;
    const tls = new TLSSocket(carrier ?? new StreamDuplex(connection), {
      isServer: true,
      secureContext: material.secureContext,
      requestCert: this.asksForCertificate,
      // Judged below: a client without a certificate, or with a bad one, is closed after the handshake.
      rejectUnauthorized: false,
      ...(this.alpnProtocols.length === 0 ? {} : { ALPNProtocols: [...this.alpnProtocols] }),
    });
    let settled = false;
    const fail = (failure: TlsFailure): void => {
      if (settled) return;
      settled = true;
      info.transportFailureReason = `TLS_error:|${failure.reason}`;
      tls.destroy();
      carrier?.destroy();
      handlers.onFailure(failure);
    };
    // Before the handshake is done, a server-side TLSSocket tells its errors by this event only.
    tls.once('_tlsError', (error: Error) => fail({ kind: 'handshake', reason: error.message }));
    const onError = (error: Error): void => fail({ kind: 'handshake', reason: error.message });
    const onClose = (): void => fail({ kind: 'handshake', reason: 'closed in the handshake' });
    tls.on('error', onError);
    tls.once('close', onClose);
    tls.once('secure', () => {
      if (settled) return;
      const certificate = tls.getPeerX509Certificate();
      let validated = false;
      if (certificate === undefined) {
        if (this.requireClientCertificate) {
          return fail({ kind: 'verification', reason: 'no client certificate', stat: 'fail_verify_no_cert' });
        }
      } else {
        const expectation = { names: undefined, serverName: undefined };
        const verdict = verifyPeer(certificate, chainError(tls), material.validation, expectation);
        if (!verdict.ok) return fail({ kind: 'verification', reason: verdict.reason, stat: verdict.stat });
        validated = material.validation?.trustedCaPem !== undefined;
      }
      settled = true;
      tls.off('close', onClose);
      const servername: unknown = Reflect.get(tls, 'servername');
      info.tls = tlsInfo(tls, {
        peerValidated: validated,
        sni: typeof servername === 'string' ? servername : info.requestedServerName,
        localChainPem: material.certificate?.chainPem,
      });
      info.transportProtocol = 'tls';
      if (info.tls.sni !== undefined) info.requestedServerName ??= info.tls.sni;
      handlers.onSecure(new SocketStream(tls, info, carrier));
    });
    return () => {
      settled = true;
      tls.on('error', () => undefined);
      tls.destroy();
      carrier?.destroy();
    };
  }

  close(): void {
    this.material.close();
  }
}

/** Both sides share everything of the common context but the highest version by default. */
function commonSettings(
  message: envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext.$Properties,
): ReturnType<typeof compileUpstreamTls> {
  const common = message.commonTlsContext ?? {};
  const params = common.tlsParams ?? {};
  const { TLS_AUTO, TLSv1_3 } = TlsParameters.TlsProtocol;
  const maximum = params.tlsMaximumProtocolVersion ?? TLS_AUTO;
  const tlsMaximumProtocolVersion = maximum === TLS_AUTO ? TLSv1_3 : maximum;
  return compileUpstreamTls(
    UpstreamTlsContext.encode({
      commonTlsContext: { ...common, tlsParams: { ...params, tlsMaximumProtocolVersion } },
    }).finish(),
  );
}

/**
 * What OpenSSL found wrong with the client's chain; undefined: nothing. Node offers this in public only through
 * `tls.Server`, which can't tell which accepted connection became which TLS socket. Where it is missing, nothing is
 * trusted.
 */
function chainError(socket: TLSSocket): string | undefined {
  const handle: unknown = Reflect.get(socket, 'ssl');
  const verify: unknown =
    typeof handle === 'object' && handle !== null ? Reflect.get(handle, 'verifyError') : undefined;
  if (typeof verify !== 'function') return 'UNABLE_TO_VERIFY';
  const error: unknown = Reflect.apply(verify, handle, []);
  if (error === null || error === undefined) return undefined;
  const code: unknown = typeof error === 'object' ? Reflect.get(error, 'code') : undefined;
  return typeof code === 'string' ? code : 'UNABLE_TO_VERIFY';
}
