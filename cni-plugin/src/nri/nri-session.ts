import type { Socket } from 'node:net';
import { nri } from '@weft/api/nri';
import { WeftError, describeError, type Logger } from '@weft/telemetry';
import { FrameReader } from './frames.ts';
import { MUX_FORMAT, MuxConnection, muxFrames } from './mux.ts';
import { TtrpcClient, TtrpcServer, type Method } from './ttrpc.ts';

const api = nri.pkg.api.v1alpha1;
type PodSandbox = nri.pkg.api.v1alpha1.PodSandbox.$Properties;

const RUNTIME_SERVICE = 'nri.pkg.api.v1alpha1.Runtime';
const PLUGIN_SERVICE = 'nri.pkg.api.v1alpha1.Plugin';
/** By this name a runtime may be told to start no container without us. */
const PLUGIN_NAME = 'weft-cni';
const PLUGIN_INDEX = '50';
/** What runtimes allow for a call unless they say otherwise. */
const DEFAULT_REQUEST_TIMEOUT_MS = 2_000;
/** Of the runtime's time for a call, what we take: one that gets no answer goes on without us. */
const USABLE_SHARE = 0.8;
const REGISTRATION_TIMEOUT_MS = 5_000;
/** The runtime reads at once; so much unread says that it does not. */
const MAX_UNSENT_BYTES = 4 * 1024 * 1024;

/** A pod that the runtime has made the network of, and no container yet. */
export interface NriPod {
  readonly uid: string;
  readonly name: string;
  readonly namespace: string;
  /** As the node sees it; undefined for a pod without a network of its own, or when the runtime doesn't tell. */
  readonly netns: string | undefined;
  /** Older runtimes don't tell. */
  readonly addresses: readonly string[];
}

export interface NriSessionOptions {
  /** What it throws keeps the pod from starting. The signal aborts when the runtime waits no longer. */
  readonly onPod: (pod: NriPod, signal: AbortSignal) => Promise<void>;
  /** From now on, no pod starts that `onPod` did not see. */
  readonly onReady: (runtime: string) => void;
  readonly logger: Logger;
}

/**
 * One connection to a container runtime, as an NRI plugin:
 *
 *     connected ──RegisterPlugin──▶ registered ──Configure──▶ configured ──Synchronize, the last part──▶ ready
 *
 * Two ttrpc connections share the socket: on one we call the runtime, on the other it calls us. Resolves when the
 * runtime closes or the signal aborts; throws WEFT1712 when the runtime breaks the protocol.
 */
export async function runNriSession(
  socket: Socket,
  o: NriSessionOptions,
  signal: AbortSignal,
): Promise<void> {
  const over = new AbortController();
  const end = (): void => void socket.destroy();
  signal.addEventListener('abort', end);
  const writeTo = (connection: number) => (bytes: Buffer) => {
    if (socket.writableLength > MAX_UNSENT_BYTES)
      socket.destroy(new WeftError('WEFT1712', 'the runtime reads nothing'));
    else if (!socket.destroyed) socket.write(muxFrames(connection, bytes));
  };
  const server = new TtrpcServer(pluginMethods(o, over.signal), { write: writeTo(MuxConnection.plugin) });
  const client = new TtrpcClient({ write: writeTo(MuxConnection.runtime) });
  const reader = new FrameReader(MUX_FORMAT);
  const closed = new Promise<void>((resolve, reject) => {
    socket.on('data', (bytes: Buffer) => {
      try {
        for (const { header, payload } of reader.push(bytes)) {
          const connection = header.readUInt32BE(0);
          if (connection === MuxConnection.plugin) server.receive(payload);
          else if (connection === MuxConnection.runtime) client.receive(payload);
        }
      } catch (error) {
        socket.destroy(WeftError.is(error) ? error : new WeftError('WEFT1712', 'internal', { cause: error }));
      }
    });
    socket.once('error', reject);
    socket.once('close', () => resolve());
  });
  const registered = client.call(
    RUNTIME_SERVICE,
    'RegisterPlugin',
    api.RegisterPluginRequest.encode({ pluginName: PLUGIN_NAME, pluginIdx: PLUGIN_INDEX }).finish(),
    AbortSignal.any([over.signal, AbortSignal.timeout(REGISTRATION_TIMEOUT_MS)]),
  );
  try {
    // A refusal ends the session; a runtime that closes has its own reason, which is the better one to tell.
    await Promise.race([closed, registered.then(() => closed)]);
  } finally {
    signal.removeEventListener('abort', end);
    over.abort();
    socket.destroy();
    await registered.catch(() => undefined);
  }
}

/** What the runtime may call, by method. */
function pluginMethods(o: NriSessionOptions, over: AbortSignal): ReadonlyMap<string, Method> {
  let requestTimeoutMs = DEFAULT_REQUEST_TIMEOUT_MS;
  let runtime = 'unknown';
  const empty = api.Empty.encode({}).finish();

  const started = async (pod: PodSandbox | null | undefined): Promise<Uint8Array> => {
    const deadline = AbortSignal.any([over, AbortSignal.timeout(requestTimeoutMs * USABLE_SHARE)]);
    const known = podOf(pod ?? {});
    try {
      await withDeadline(o.onPod(known, deadline), deadline);
    } catch (error) {
      o.logger.error('pod refused', { pod: `${known.namespace}/${known.name}`, error: describeError(error) });
      throw error;
    }
    return empty;
  };

  const methods: Readonly<Record<string, Method>> = {
    Configure: (bytes) => {
      const request = api.ConfigureRequest.decode(bytes);
      requestTimeoutMs = Number(request.requestTimeout) || DEFAULT_REQUEST_TIMEOUT_MS;
      runtime = `${request.runtimeName} ${request.runtimeVersion}`;
      const response = {
        events: 1 << (api.Event.RUN_POD_SANDBOX - 1),
        // A pod that we didn't answer for must not start; runtimes before NRI 0.12 start it all the same.
        failurePolicy: { failRequest: true, keepConnected: true },
      };
      return Promise.resolve(api.ConfigureResponse.encode(response).finish());
    },
    // Pods that run already are found by the watch of the API server. A long list comes in parts.
    Synchronize: (bytes) => {
      const { more } = api.SynchronizeRequest.decode(bytes);
      if (!more) o.onReady(runtime);
      return Promise.resolve(api.SynchronizeResponse.encode({ more }).finish());
    },
    RunPodSandbox: (bytes) => started(api.PodSandboxRequest.decode(bytes).pod),
    StateChange: (bytes) => {
      const { event, pod } = api.StateChangeEvent.decode(bytes);
      return event === api.Event.RUN_POD_SANDBOX ? started(pod) : Promise.resolve(empty);
    },
    // Rules and listeners go with the network namespace, as with CNI.
    StopPodSandbox: () => Promise.resolve(empty),
    RemovePodSandbox: () => Promise.resolve(empty),
    Shutdown: () => Promise.resolve(empty),
  };
  return new Map(Object.entries(methods).map(([name, method]) => [`${PLUGIN_SERVICE}/${name}`, method]));
}

function podOf(pod: PodSandbox): NriPod {
  const network = pod.linux?.namespaces?.find(({ type }) => type === 'network')?.path ?? '';
  return {
    uid: pod.uid ?? '',
    name: pod.name ?? '',
    namespace: pod.namespace ?? '',
    netns: network === '' ? undefined : network,
    addresses: pod.ips ?? [],
  };
}

async function withDeadline(work: Promise<void>, deadline: AbortSignal): Promise<void> {
  let giveUp = (): void => undefined;
  const late = new Promise<never>((_resolve, reject) => {
    giveUp = () => reject(new WeftError('WEFT1701', 'not redirected within the time of the runtime'));
    deadline.addEventListener('abort', giveUp, { once: true });
  });
  try {
    await Promise.race([work, late]);
  } finally {
    deadline.removeEventListener('abort', giveUp);
    work.catch(() => undefined); // a failure after the deadline has been told as one already
  }
}
