import { request as httpRequest, type IncomingMessage } from 'node:http';
import { WebSocket } from 'ws';
import { ApiError, badRequest, internalError } from '../api-error.ts';
import type { KubeletEndpoint } from '../api-server.ts';

export const CHANNEL_PROTOCOL = 'v5.channel.k8s.io';
export const KUBELET_TOKEN_HEADER = 'x-weft-kubelet-token';
const CONNECT_TIMEOUT_MS = 10_000;
const MAX_ERROR_BYTES = 16 * 1024;
/** Of one WebSocket message; programs write at most pipe-sized pieces. */
export const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;

/** Calls on the kubelet of a node. Its answers other than success become ApiErrors with its own text. */
export class KubeletClient {
  private readonly token: string;

  constructor(token: string) {
    this.token = token;
  }

  /** A paused WebSocket, open: nothing is lost before the caller resumes it. */
  connect(endpoint: KubeletEndpoint, path: string): Promise<WebSocket> {
    const { host, port } = endpoint;
    const socket = new WebSocket(`ws://${host}:${port}${path}`, [CHANNEL_PROTOCOL], {
      headers: { [KUBELET_TOKEN_HEADER]: this.token },
      perMessageDeflate: false,
      handshakeTimeout: CONNECT_TIMEOUT_MS,
      maxPayload: MAX_MESSAGE_BYTES,
    });
    return new Promise((resolve, reject) => {
      socket.once('open', () => {
        socket.pause();
        socket.removeAllListeners('error');
        resolve(socket);
      });
      socket.once('unexpected-response', (_request, response: IncomingMessage) => {
        void refusal(response).then((error) => {
          socket.terminate();
          reject(error);
        });
      });
      socket.on('error', (error: Error) => reject(internalError(`error dialing backend: ${error.message}`)));
    });
  }

  /** The response to a GET, with a body still to be read. */
  get(endpoint: KubeletEndpoint, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { host, port } = endpoint;
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        { host, port, path, headers: { [KUBELET_TOKEN_HEADER]: this.token }, signal },
        (response) => {
          if (response.statusCode === 200) resolve(response);
          else void refusal(response).then(reject);
        },
      );
      request.on('error', (error) => reject(internalError(`error dialing backend: ${error.message}`)));
      request.end();
    });
  }
}

async function refusal(response: IncomingMessage): Promise<ApiError> {
  let text = '';
  try {
    for await (const chunk of response) {
      text += String(chunk);
      if (text.length > MAX_ERROR_BYTES) break;
    }
  } catch {
    // The status alone has to do.
  }
  const message = text.trim() === '' ? `the kubelet answered ${response.statusCode ?? 0}` : text.trim();
  switch (response.statusCode) {
    case 400:
      return badRequest(message);
    case 404:
      return new ApiError(404, 'NotFound', message, {});
    default:
      return internalError(message);
  }
}
