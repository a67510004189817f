import type { Cluster, Engine, HeaderMap, StreamInfo, UpstreamContext } from '../../engine/types.ts';
import type { HttpStream } from '../codec.ts';
import type { ForwardAction } from '../route/route.ts';

/** What a mirror holds for an upstream that isn't ready or doesn't read; beyond it the mirror is given up. */
export const MAX_MIRROR_BYTES = 1024 * 1024;
/** A mirror that isn't answered by then is given up. */
const MIRROR_TIMEOUT_MS = 15_000;

/** Begins those of the route's mirrors that are drawn and have a cluster. */
export function startMirrors(
  { engine, info }: { readonly engine: Engine; readonly info: StreamInfo },
  headers: HeaderMap,
  { mirrors }: ForwardAction,
  end: boolean,
): readonly Mirror[] {
  const started: Mirror[] = [];
  for (const policy of mirrors) {
    if (policy.fraction < 1 && engine.random() >= policy.fraction) continue;
    const name = policy.cluster(headers);
    const cluster = name === undefined ? undefined : engine.clusters.get(name);
    if (cluster === undefined) continue;
    const appendShadow = policy.appendShadowSuffix;
    started.push(new Mirror({ engine, cluster, headers: headers.clone(), info, end, appendShadow }));
  }
  return started;
}

/** A copy of a request, sent beside it; nobody waits for it, and its answer is dropped. */
export class Mirror {
  private stream: HttpStream | undefined;
  private queue: { readonly chunk: Buffer; readonly end: boolean }[] = [];
  private queuedBytes = 0;
  private blocked = true;
  private done = false;
  private cancelPending: () => void = () => undefined;
  private readonly cancelTimer: () => void;

  constructor(o: {
    readonly engine: Engine;
    readonly cluster: Cluster;
    readonly headers: HeaderMap;
    readonly info: StreamInfo;
    readonly end: boolean;
    readonly appendShadow: boolean;
  }) {
    const { headers } = o;
    if (o.appendShadow) headers.authority = shadowAuthority(headers.authority ?? '');
    headers.delete('x-envoy-expected-rq-timeout-ms');
    this.cancelTimer = o.engine.clock.schedule(MIRROR_TIMEOUT_MS, () => this.giveUp());
    const context: UpstreamContext = { info: o.info };
    const endpoint = o.cluster.pick(context);
    if (endpoint === undefined) {
      this.giveUp();
      return;
    }
    const pending = o.cluster.openStream(endpoint, context, {
      onReady: (stream) => {
        this.stream = stream;
        this.blocked = false;
        stream.sendHeaders(headers, o.end);
        this.flush();
        return {
          onHeaders: (_, end) => this.answered(end),
          onData: (_, end) => this.answered(end),
          onTrailers: () => this.answered(true),
          onReset: () => this.finish(),
          onDrain: () => {
            this.blocked = false;
            this.flush();
          },
        };
      },
      onFailure: () => this.finish(),
    });
    this.cancelPending = () => pending.cancel();
  }

  send(chunk: Buffer, end: boolean): void {
    if (this.done) return;
    this.queue.push({ chunk, end });
    this.queuedBytes += chunk.length;
    this.flush();
    // The request itself must not wait for its copy.
    if (this.queuedBytes > MAX_MIRROR_BYTES) this.giveUp();
  }

  /** The request itself broke off. */
  giveUp(): void {
    if (this.done) return;
    this.finish();
    this.cancelPending();
    this.stream?.reset('local-reset');
  }

  private flush(): void {
    while (!this.blocked && !this.done && this.stream !== undefined) {
      const next = this.queue.shift();
      if (next === undefined) return;
      this.queuedBytes -= next.chunk.length;
      this.blocked = !this.stream.sendData(next.chunk, next.end);
    }
  }

  private answered(end: boolean): void {
    if (end) this.finish();
  }

  private finish(): void {
    this.done = true;
    this.queue = [];
    this.cancelTimer?.();
  }
}

/** `a:80` → `a-shadow:80`. */
function shadowAuthority(authority: string): string {
  const match = /^(\[[^\]]*\]|[^:]*)(:\d+)?$/.exec(authority);
  return match === null ? `${authority}-shadow` : `${match[1]}-shadow${match[2] ?? ''}`;
}
