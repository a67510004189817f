import type { IncomingMessage, ServerResponse } from 'node:http';
import { WeftError, describeError, type Logger } from '@weft/telemetry';
import { UnixHttpServer, readSmallBody } from './unix-http-server.ts';

/** What the plugin posts to `/cmdadd`, spelled as Istio's plugin spells it. */
export interface AddRequest {
  readonly netns: string;
  readonly podName: string;
  readonly podNamespace: string;
  readonly addresses: readonly string[];
}

export interface PluginServerOptions {
  readonly logger: Logger;
  readonly onAnswer?: (status: number) => void;
  /** Why a pod was refused. */
  readonly onError?: (error: unknown) => void;
}

/** Any answer but 200 keeps the pod from starting. */
export function listenForPlugins(
  socketPath: string,
  onAdd: (request: AddRequest) => Promise<void>,
  o: PluginServerOptions,
): Promise<UnixHttpServer> {
  return UnixHttpServer.listen(socketPath, (request, response) => answer(request, response, onAdd, o));
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  onAdd: (request: AddRequest) => Promise<void>,
  o: PluginServerOptions,
): Promise<void> {
  const reply = (status: number, text: string): void => {
    o.onAnswer?.(status);
    response.writeHead(status, { 'content-type': 'text/plain' });
    response.end(text);
  };
  if (request.method !== 'POST' || request.url !== '/cmdadd') return reply(404, 'not found\n');
  try {
    const add = parseAddRequest(await readSmallBody(request));
    await onAdd(add);
    reply(200, '');
  } catch (error) {
    const refused = WeftError.is(error) && error.code === 'WEFT1706';
    o.onError?.(error);
    o.logger.error('pod refused', { error: describeError(error) });
    reply(refused ? 400 : 500, `${describeError(error)}\n`);
  }
}

export function parseAddRequest(text: string): AddRequest {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw new WeftError('WEFT1706', 'request body is no JSON', { cause: error });
  }
  const field = (name: string): unknown =>
    typeof value === 'object' && value !== null && Object.hasOwn(value, name)
      ? Reflect.get(value, name)
      : undefined;
  const textOf = (name: string): string => {
    const found = field(name);
    if (typeof found !== 'string' || found === '')
      throw new WeftError('WEFT1706', `${name}: expected a string`);
    return found;
  };
  const addresses = field('IPs');
  return {
    netns: textOf('Netns'),
    podName: textOf('PodName'),
    podNamespace: textOf('PodNamespace'),
    addresses: Array.isArray(addresses) ? addresses.map(addressOf) : [],
  };
}

function addressOf(entry: unknown, index: number): string {
  const address: unknown =
    typeof entry === 'object' && entry !== null ? Reflect.get(entry, 'Address') : undefined;
  const ip: unknown =
    typeof address === 'object' && address !== null ? Reflect.get(address, 'IP') : undefined;
  if (typeof ip !== 'string') throw new WeftError('WEFT1706', `IPs[${index}].Address.IP: expected a string`);
  return ip;
}
