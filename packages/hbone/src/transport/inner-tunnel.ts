import type { SpiffeId, WorkloadCertificate } from '@weft/spiffe';
import { WeftError } from '@weft/telemetry/errors';
import { Cancellation, type CancelSignal } from './cancellation.ts';
import type { TlsClient } from './client-handshake.ts';
import type { HeaderFields } from './connect-request.ts';
import { closeError, connectFields, ConnectRefusedError, responseOf } from './connect-response.ts';
import type { KeepaliveOptions } from './keepalive.ts';
import type { HbonePoolLimits } from './pool-limits.ts';
import type { Tunnel } from './pool.ts';
import { TunnelSession } from './session.ts';
import type { TunnelResources } from './tunnel-resources.ts';

export interface InnerTunnelRequest {
  readonly source: SpiffeId;
  /** Identities that the inner end may have. Empty: nobody will do. */
  readonly acceptable: readonly string[];
  readonly authority: string;
  readonly headers: HeaderFields;
  readonly signal: CancelSignal;
}

export interface InnerTunnelOptions {
  readonly certificateFor: (source: SpiffeId) => Promise<WorkloadCertificate>;
  readonly tls: TlsClient;
  readonly limits: HbonePoolLimits;
  readonly keepalive: KeepaliveOptions;
  readonly resources: TunnelResources;
  /** Has every open session, this one too. */
  readonly sessions: Set<TunnelSession>;
}

/** Double HBONE: TLS and HTTP/2 inside of an outer tunnel, for one stream. */
export async function openInnerTunnel(
  outer: Tunnel,
  { source, acceptable, authority, headers, signal }: InnerTunnelRequest,
  { certificateFor, tls, limits, keepalive, resources, sessions }: InnerTunnelOptions,
): Promise<Tunnel> {
  const name = `${authority} by ${outer.session.remoteAddress}`;
  const wire = outer.stream.toDuplex();
  wire.on('error', () => undefined); // TLS reports it
  const inTime = new Cancellation();
  const onAbort = (): void => inTime.abort(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const timer = setTimeout(() => inTime.abort(new Error('no answer in time')), limits.dialTimeoutMs);
  const verified = await certificateFor(source)
    .then((certificate) => tls.secure(wire, { name, acceptable, certificate }, inTime))
    .catch((error: unknown) => {
      wire.destroy();
      throw inTime.aborted && !signal.aborted
        ? new WeftError('WEFT1205', `TLS handshake with ${name}`, { cause: error })
        : error;
    })
    .finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
    });
  let isOpened = false;
  const session = new TunnelSession({
    role: 'client',
    ...verified,
    peerName: name,
    limits: limits.http2,
    keepalive,
    resources,
    events: {
      onRequest: () => undefined, // clients get none
      onChange: () => {
        if (isOpened && session.activeStreams === 0) session.drain();
      },
      onClose: () => sessions.delete(session),
    },
  });
  sessions.add(session);
  const stream = session.open(connectFields(authority, headers));
  isOpened = true;
  if (stream === undefined) {
    session.destroy();
    throw new WeftError('WEFT1212', `${name} takes no stream`);
  }
  const outcome = await responseOf(stream, signal);
  if (outcome.kind === 'answered' && outcome.head.status === 200) {
    return { stream, responseHeaders: outcome.head.headers, peerIdentity: session.peerIdentity, session };
  }
  session.destroy();
  if (outcome.kind === 'answered') throw new ConnectRefusedError(outcome.head.status, authority, name);
  throw outcome.kind === 'aborted' ? outcome.reason : closeError(outcome.close, authority, name);
}
