import { request as httpRequest } from 'node:http';
import { connect as http2Connect, constants } from 'node:http2';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { describeError } from '@weft/telemetry';
import type { Container, Handler, HttpGetAction, IntOrString } from '../pod.ts';

/** Where and how a handler is carried out. Connections leave from the kubelet's network namespace, which is the node's. */
export interface HandlerTarget {
  readonly podIp: string;
  readonly container: Container;
  /** Runs a command in the container. */
  readonly exec: (
    command: readonly string[],
    signal: AbortSignal,
  ) => Promise<{ readonly exitCode: number; readonly output: string }>;
}

export type HandlerOutcome = { readonly ok: true } | { readonly ok: false; readonly message: string };

/** What of an answer a message quotes. */
const MAX_QUOTED_BYTES = 512;

/** Carries out an action once. Never throws: what goes wrong is the outcome. */
export async function runHandler(
  handler: Handler,
  target: HandlerTarget,
  timeoutMs: number,
): Promise<HandlerOutcome> {
  const deadline = new AbortController();
  const timer = setTimeout(() => deadline.abort(), timeoutMs);
  try {
    const failure = await attempt(handler, target, deadline.signal);
    return failure === undefined ? { ok: true } : { ok: false, message: failure };
  } catch (error) {
    const message = deadline.signal.aborted ? `no answer within ${timeoutMs / 1000} s` : describeError(error);
    return { ok: false, message };
  } finally {
    clearTimeout(timer);
    deadline.abort();
  }
}

/** Resolves to why it failed, or to undefined. */
async function attempt(
  handler: Handler,
  target: HandlerTarget,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (handler.httpGet !== undefined) return httpGet(handler.httpGet, target, signal);
  if (handler.tcpSocket !== undefined) {
    const { host = target.podIp, port } = handler.tcpSocket;
    await tcpConnect(host, resolvePort(port, target.container), signal);
    return undefined;
  }
  if (handler.grpc !== undefined)
    return grpcHealth(target.podIp, handler.grpc.port, handler.grpc.service ?? '', signal);
  if (handler.exec !== undefined) {
    const { exitCode, output } = await target.exec(handler.exec.command ?? [], signal);
    return exitCode === 0 ? undefined : output.slice(0, MAX_QUOTED_BYTES) || `command ended with ${exitCode}`;
  }
  if (handler.sleep !== undefined) await sleep(handler.sleep.seconds * 1000, signal);
  return undefined;
}

/** A port by number, or by the name that the container gives it. */
export function resolvePort(port: IntOrString, container: Container): number {
  const named = container.ports?.find(({ name }) => name === port);
  const number = named?.containerPort ?? Number(port);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new RangeError(`couldn't find port ${port}`);
}

async function httpGet(
  action: HttpGetAction,
  target: HandlerTarget,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { path = '/', port, host, scheme = 'HTTP', httpHeaders = [] } = action;
  const headers: Record<string, string> = {
    'user-agent': 'kube-probe/1.35',
    accept: '*/*',
    connection: 'close',
  };
  for (const { name, value } of httpHeaders) headers[name.toLowerCase()] = value;
  const options = {
    host: host === undefined || host === '' ? target.podIp : host,
    port: resolvePort(port, target.container),
    path: path.startsWith('/') ? path : `/${path}`,
    headers,
    signal,
    agent: false,
    // As Kubernetes: a probe asks for health, not for identity.
    rejectUnauthorized: false,
  };
  return new Promise((resolve, reject) => {
    const request = (scheme === 'HTTPS' ? httpsRequest : httpRequest)(options, (response) => {
      const status = response.statusCode ?? 0;
      response.on('error', reject);
      response.resume();
      // Redirects count as healthy, as they do for Kubernetes when they leave the host.
      resolve(status >= 200 && status < 400 ? undefined : `HTTP probe failed with statuscode: ${status}`);
    });
    request.on('error', reject);
    request.end();
  });
}

function tcpConnect(host: string, port: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port });
    const abort = (): void => void socket.destroy(new Error('aborted'));
    signal.addEventListener('abort', abort, { once: true });
    socket.once('connect', () => {
      resolve();
      socket.destroy();
    });
    socket.once('error', reject);
    socket.once('close', () => signal.removeEventListener('abort', abort));
  });
}

const SERVING = 1;

/** One call of grpc.health.v1.Health/Check; its two messages have one field each. */
async function grpcHealth(
  host: string,
  port: number,
  service: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const session = http2Connect(`http://${host.includes(':') ? `[${host}]` : host}:${port}`);
  const abort = (): void => session.destroy();
  signal.addEventListener('abort', abort, { once: true });
  try {
    return await new Promise((resolve, reject) => {
      session.on('error', reject);
      session.on('close', () => reject(new Error('connection closed')));
      const call = session.request({
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: '/grpc.health.v1.Health/Check',
        'content-type': 'application/grpc',
        te: 'trailers',
      });
      const name = Buffer.from(service);
      const message = name.length === 0 ? name : Buffer.concat([Buffer.from([0x0a, name.length]), name]);
      const prefix = Buffer.alloc(5);
      prefix.writeUInt32BE(message.length, 1);
      const received: Buffer[] = [];
      let status: string | undefined;
      const note = (headers: Readonly<Record<string, unknown>>): void => {
        const value = headers['grpc-status'];
        if (typeof value === 'string') status = value;
      };
      call.on('response', note);
      call.on('trailers', note);
      call.on('error', reject);
      call.on('data', (chunk: Buffer) => {
        if (received.length < MAX_HEALTH_CHUNKS) received.push(chunk);
      });
      call.on('end', () => {
        const answer = Buffer.concat(received);
        if (status !== undefined && status !== '0')
          return resolve(`health check failed with grpc status ${status}`);
        // Field 1, a varint: `08 01` is SERVING; an empty message is UNKNOWN.
        const serving = answer.length >= 7 && answer[5] === 0x08 ? answer[6] : 0;
        resolve(serving === SERVING ? undefined : `service is not serving (status ${serving})`);
      });
      call.end(Buffer.concat([prefix, message]));
    });
  } finally {
    signal.removeEventListener('abort', abort);
    session.destroy();
  }
}

const MAX_HEALTH_CHUNKS = 16;

function sleep(delayMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, delayMs);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });
}
