import { expect, it } from '@jest/globals';
import { createHash, type Hash } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:tls';
import fc from 'fast-check';
import { ENGINE_VARIABLE } from '../../testing/socket-engine.ts';
import { tunnelPair, type TunnelPair } from '../../testing/tunnel-pair.ts';
import type { StreamClose, TunnelStream } from '../tunnel-stream.ts';

/** What is done to one of the tunnels of a connection, by the client or by the server. */
type Step =
  | { readonly kind: 'open' }
  | { readonly kind: 'write'; readonly stream: number; readonly by: Side; readonly bytes: number }
  | { readonly kind: 'end' | 'pause' | 'resume'; readonly stream: number; readonly by: Side }
  | { readonly kind: 'reset'; readonly stream: number; readonly by: Side; readonly code: number }
  /** Another client of the server says this after its handshake. */
  | { readonly kind: 'garbage'; readonly bytes: Uint8Array };
type Side = 'client' | 'server';

const RUNS = 25;
/** Together below a stream's window: what a script writes arrives. */
const MAX_WRITE_BYTES = 150_000;

/** One end of a tunnel, and all that its user sees. */
class End {
  readonly stream: TunnelStream;
  private readonly hash: Hash = createHash('sha256');
  private received = 0;
  private ended = false;
  private close: string | undefined;

  constructor(stream: TunnelStream) {
    this.stream = stream;
    stream.attach({
      onData: (chunk) => {
        this.received += chunk.length;
        this.hash.update(chunk);
      },
      onEnd: () => (this.ended = true),
      onDrain: () => undefined,
      onClose: (close) => (this.close = closeOf(close)),
    });
  }

  get seen(): string {
    const { received, ended, close } = this;
    return JSON.stringify({ received, digest: this.hash.copy().digest('hex'), ended, close });
  }
}

function closeOf(close: StreamClose): string {
  return close.kind === 'reset' ? `reset ${close.code} by ${close.by}` : close.kind;
}

/** A pair of tunnel ends for each `open`, all on one connection; the first only tells that what was sent has arrived. */
class Run {
  private readonly pair: TunnelPair;
  private readonly accepted: End[];
  private readonly opened: End[] = [];
  private fill = 0;

  private constructor(pair: TunnelPair, accepted: End[]) {
    this.pair = pair;
    this.accepted = accepted;
  }

  static async start(): Promise<Run> {
    const accepted: End[] = [];
    const run = new Run(
      await tunnelPair((request) => void accepted.push(new End(request.accept()))),
      accepted,
    );
    await run.open();
    return run;
  }

  async play(script: readonly Step[]): Promise<readonly string[]> {
    const seen: string[] = [];
    for (const step of script) {
      await this.perform(step);
      seen.push(await this.settled());
    }
    await this.pair.close();
    return [...seen, this.pair.serverErrors.map(({ code }) => code).join()];
  }

  private async open(): Promise<void> {
    this.opened.push(new End((await this.pair.pool.connect(this.pair.request())).stream));
  }

  private async perform(step: Step): Promise<void> {
    if (step.kind === 'open') return this.open();
    if (step.kind === 'garbage') return this.garbage(step.bytes);
    const ends = step.by === 'client' ? this.opened : this.accepted;
    const stream = ends[1 + (step.stream % Math.max(1, ends.length - 1))]?.stream;
    if (stream === undefined) return;
    if (step.kind === 'write') stream.write(Buffer.alloc(step.bytes, ++this.fill));
    else if (step.kind === 'reset') stream.reset(step.code);
    else stream[step.kind]();
  }

  private async garbage(bytes: Uint8Array): Promise<void> {
    const { keyPem: key, chainPem: cert, rootsPem: ca } = this.pair.clientCertificate;
    const { port } = this.pair;
    const checkServerIdentity = (): undefined => undefined;
    const socket = connect({ port, key, cert, ca, ALPNProtocols: ['h2'], checkServerIdentity });
    socket.on('error', () => undefined).resume();
    await once(socket, 'secureConnect');
    socket.write(Buffer.concat([bytes, Buffer.from('\0\xff\xff\xff garbage', 'latin1')]));
    await once(socket, 'close');
  }

  /** When a round trip behind everything that was sent brings nothing new. */
  private async settled(): Promise<string> {
    for (let before = ''; ; ) {
      await this.roundTrip();
      const now = [...this.opened, ...this.accepted].map((end) => end.seen).join('\n');
      const news = this.withoutFirst(now);
      if (news === before) return news;
      before = news;
    }
  }

  private withoutFirst(seen: string): string {
    const lines = seen.split('\n');
    return lines.filter((_, i) => i !== 0 && i !== this.opened.length).join('\n');
  }

  private async roundTrip(): Promise<void> {
    const [client, server] = [this.opened[0], this.accepted[0]];
    if (client === undefined || server === undefined) throw new Error('not open');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const { seen } = to;
      from.stream.write(Buffer.from('x'));
      while (to.seen === seen) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

const side = fc.constantFrom<Side>('client', 'server');
const stream = fc.nat({ max: 3 });
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.constant<Step>({ kind: 'open' }) },
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('write' as const),
      stream,
      by: side,
      bytes: fc.oneof(fc.integer({ min: 1, max: 100 }), fc.integer({ min: 1, max: MAX_WRITE_BYTES })),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constantFrom('end', 'pause', 'resume'), stream, by: side }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('reset' as const),
      stream,
      by: side,
      code: fc.constantFrom(0, 2, 8, 10),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('garbage' as const), bytes: fc.uint8Array({ maxLength: 40 }) }),
  },
);

async function playOn(engine: 'node' | 'reactor', script: readonly Step[]): Promise<readonly string[]> {
  process.env[ENGINE_VARIABLE] = engine;
  return (await Run.start()).play(script);
}

it('shows the users of both ends what they would see on node:tls, whatever is done to its tunnels', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 20 }), async (rest) => {
      const script: readonly Step[] = [{ kind: 'open' }, ...rest];
      expect(await playOn('reactor', script)).toEqual(await playOn('node', script));
    }),
    { numRuns: RUNS },
  );
});
