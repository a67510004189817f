import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws';
import { badRequest, internalError, methodNotAllowed, notFound } from '../api-error.ts';
import type { KubeletEndpoint } from '../api-server.ts';
import type { HttpExchange } from '../http-exchange.ts';
import { objectKey, objectsAt, stringAt, valueAt, type ApiObject } from '../object.ts';
import type { ResourceRequest } from '../request-info.ts';
import type { Resource } from '../resource.ts';
import type { Store } from '../store/store.ts';
import { CHANNEL_PROTOCOL, MAX_MESSAGE_BYTES, type KubeletClient } from './kubelet-client.ts';
import { PortForward } from './port-forward.ts';
import { SpdyConnection, type SpdyStream } from './spdy-connection.ts';
import { SpdyExec } from './spdy-exec.ts';
import { bridge } from './websocket-bridge.ts';

export interface UpgradeCall {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly url: URL;
  readonly info: ResourceRequest;
  readonly resource: Resource;
}

const TUNNEL_PROTOCOL = 'SPDY/3.1+portforward.k8s.io';
/** Newest first. v4 differs from v5 only in that stdin can't be closed alone. */
const webSocketProtocols = [CHANNEL_PROTOCOL, 'v4.channel.k8s.io', TUNNEL_PROTOCOL];
const spdyExecProtocol = 'v4.channel.k8s.io';
const spdyPortForwardProtocol = 'portforward.k8s.io';
const DEFAULT_CONTAINER_ANNOTATION = 'kubectl.kubernetes.io/default-container';
const DEFAULT_KUBELET_PORT = 10_250;

/** log, exec, attach and portforward of pods: found here, done by the kubelet of the pod's node. */
export class StreamEndpoint {
  private readonly store: Store;
  private readonly kubelets: KubeletClient;
  private readonly endpointOf: (nodeName: string) => KubeletEndpoint | undefined;
  private readonly webSockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    handleProtocols: (offered) => webSocketProtocols.find((protocol) => offered.has(protocol)) ?? false,
  });

  constructor(
    store: Store,
    kubelets: KubeletClient,
    endpointOf: (nodeName: string) => KubeletEndpoint | undefined,
  ) {
    this.store = store;
    this.kubelets = kubelets;
    this.endpointOf = endpointOf;
  }

  async logs(exchange: HttpExchange, info: ResourceRequest, resource: Resource): Promise<void> {
    if (info.verb !== 'get') throw methodNotAllowed();
    const pod = this.pod(info, resource);
    const container = containerOf(pod, exchange.url.searchParams.get('container'));
    const path = `/containerLogs/${podPath(pod)}/${encodeURIComponent(container)}${exchange.url.search}`;
    const response = await this.kubelets.get(this.endpoint(pod), path, exchange.signal);
    const body = exchange.stream('text/plain');
    // The answer has begun: from here on the client sees a failure as an early end.
    response.on('data', (chunk: Buffer) => {
      if (!body.write(chunk)) response.destroy();
    });
    response.on('end', () => body.end());
    response.on('error', () => body.end());
  }

  async upgrade(call: UpgradeCall): Promise<void> {
    const { info, resource } = call;
    if (resource.collection !== 'pods') throw methodNotAllowed();
    const pod = this.pod(info, resource);
    switch (info.subresource) {
      case 'exec':
      case 'attach':
        return this.exec(call, info.subresource, pod);
      case 'portforward':
        return this.portForward(call, pod);
      default:
        throw methodNotAllowed();
    }
  }

  private async exec(call: UpgradeCall, verb: 'exec' | 'attach', pod: ApiObject): Promise<void> {
    const { url, request } = call;
    const container = containerOf(pod, url.searchParams.get('container'));
    const spdy = isSpdy(request);
    if (!spdy) offeredProtocol(request);
    const path = `/${verb}/${podPath(pod)}/${encodeURIComponent(container)}${url.search}`;
    const kubelet = await this.kubelets.connect(this.endpoint(pod), path);
    if (call.socket.destroyed) {
      // The client left meanwhile; its `close` has come and gone.
      kubelet.terminate();
      return;
    }
    call.socket.once('close', () => kubelet.terminate());
    if (!spdy) {
      this.webSockets.handleUpgrade(request, call.socket, call.head, (client: WebSocket) =>
        bridge(client, kubelet),
      );
      return;
    }
    this.acceptSpdy(call, spdyExecProtocol, (connection) => {
      const exec = new SpdyExec(url.searchParams, kubelet, connection);
      return (stream) => exec.add(stream);
    });
  }

  private portForward(call: UpgradeCall, pod: ApiObject): void {
    const endpoint = this.endpoint(pod);
    const forward = () =>
      new PortForward((port) => this.kubelets.connect(endpoint, `/portForward/${podPath(pod)}?port=${port}`));
    if (isSpdy(call.request)) {
      this.acceptSpdy(call, spdyPortForwardProtocol, () => {
        const pairs = forward();
        return (stream) => pairs.add(stream);
      });
      return;
    }
    if (offeredProtocol(call.request) !== TUNNEL_PROTOCOL)
      throw badRequest(`port-forward needs the subprotocol ${TUNNEL_PROTOCOL}`);
    this.webSockets.handleUpgrade(call.request, call.socket, call.head, (client: WebSocket) => {
      const pairs = forward();
      const tunnel = createWebSocketStream(client);
      tunnel.on('error', () => tunnel.destroy());
      void new SpdyConnection(tunnel, (stream) => pairs.add(stream)).run();
    });
  }

  private acceptSpdy(
    { request, socket, head }: UpgradeCall,
    protocol: string,
    handler: (connection: () => SpdyConnection) => (stream: SpdyStream) => void,
  ): void {
    const offered = String(request.headers['x-stream-protocol-version'] ?? '');
    if (offered !== '' && !offered.split(',').some((name) => name.trim() === protocol)) {
      throw badRequest(
        `unable to negotiate protocol: client supports [${offered}], server supports [${protocol}]`,
      );
    }
    socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: ${protocol}\r\n\r\n`,
    );
    if (head.length > 0) socket.unshift(head);
    const connection: SpdyConnection = new SpdyConnection(
      socket,
      handler(() => connection),
    );
    void connection.run();
  }

  private pod(info: ResourceRequest, resource: Resource): ApiObject {
    const pod = this.store.get('pods', objectKey(info.namespace, info.name ?? ''));
    if (pod === undefined) throw notFound(resource, info.name ?? '');
    return pod;
  }

  private endpoint(pod: ApiObject): KubeletEndpoint {
    const nodeName = stringAt(pod, 'spec', 'nodeName') ?? '';
    if (nodeName === '') throw badRequest(`pod ${pod.metadata.name} does not have a host assigned`);
    const endpoint = this.endpointOf(nodeName) ?? nodeEndpoint(this.store.get('nodes', nodeName));
    if (endpoint === undefined) throw internalError(`no address is known for node ${nodeName}`);
    return endpoint;
  }
}

function nodeEndpoint(node: ApiObject | undefined): KubeletEndpoint | undefined {
  const address = objectsAt(node, 'status', 'addresses').find(({ type }) => type === 'InternalIP');
  const host = stringAt(address, 'address');
  const port = valueAt(node, 'status', 'daemonEndpoints', 'kubeletEndpoint', 'Port');
  return host === undefined
    ? undefined
    : { host, port: typeof port === 'number' ? port : DEFAULT_KUBELET_PORT };
}

function podPath({ metadata }: ApiObject): string {
  return `${encodeURIComponent(metadata.namespace ?? '')}/${encodeURIComponent(metadata.name)}`;
}

function isSpdy(request: IncomingMessage): boolean {
  return String(request.headers.upgrade ?? '')
    .toLowerCase()
    .startsWith('spdy/');
}

/** Checked before anything is opened: `ws` would accept the upgrade without a common subprotocol. */
function offeredProtocol(request: IncomingMessage): string {
  const offered = String(request.headers['sec-websocket-protocol'] ?? '')
    .split(',')
    .map((name) => name.trim());
  const chosen = webSocketProtocols.find((protocol) => offered.includes(protocol));
  if (chosen === undefined)
    throw badRequest(`no common WebSocket subprotocol: server supports ${webSocketProtocols.join(', ')}`);
  return chosen;
}

/** The named container, or the one that is meant when none is named. */
function containerOf(pod: ApiObject, asked: string | null): string {
  const main = objectsAt(pod, 'spec', 'containers').map((container) => stringAt(container, 'name') ?? '');
  const others = ['initContainers', 'ephemeralContainers'].flatMap((field) =>
    objectsAt(pod, 'spec', field).map((container) => stringAt(container, 'name') ?? ''),
  );
  const { name, annotations } = pod.metadata;
  const wanted = asked === null || asked === '' ? (annotations?.[DEFAULT_CONTAINER_ANNOTATION] ?? '') : asked;
  if (wanted !== '') {
    if ([...main, ...others].includes(wanted)) return wanted;
    throw badRequest(`container ${wanted} is not valid for pod ${name}`);
  }
  const [first, ...more] = main;
  if (first !== undefined && more.length === 0) return first;
  throw badRequest(`a container name must be specified for pod ${name}, choose one of: [${main.join(' ')}]`);
}
