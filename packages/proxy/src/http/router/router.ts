import type { HeaderMap } from '../../engine/types.ts';
import type { ChosenRoute, ForwardAction } from '../route/route.ts';
import { ForwardedRequest } from './forwarded-request.ts';
import { redirectLocation } from './redirect.ts';
import type { RouterHost, RouterOptions } from './router-host.ts';

/** The last filter: answers by itself, as the route says, or has the request forwarded to the route's cluster. */
export class Router {
  private readonly host: RouterHost;
  private readonly options: RouterOptions;
  private forwarded: ForwardedRequest | undefined;

  constructor(host: RouterHost, options: RouterOptions) {
    this.host = host;
    this.options = options;
  }

  onHeaders(headers: HeaderMap, end: boolean): void {
    const { host } = this;
    const route = host.chosenRoute;
    const action = route?.route.action;
    if (route === undefined || action === undefined || action.kind === 'none') {
      host.sendLocalReply({ status: 404, details: 'route_not_found', flag: 'NR' });
      return;
    }
    switch (action.kind) {
      case 'direct-response':
        host.sendLocalReply({ status: action.status, body: action.body, details: 'direct_response' });
        return;
      case 'redirect':
        host.sendLocalReply({
          status: action.redirect.status,
          details: 'direct_response',
          headers: [['location', redirectLocation(headers, action.redirect)]],
        });
        return;
      case 'forward':
        this.forward(headers, end, route, action.forward);
    }
  }

  onData(chunk: Buffer, end: boolean): void {
    this.forwarded?.onRequestData(chunk, end);
  }

  onTrailers(trailers: HeaderMap): void {
    this.forwarded?.onRequestTrailers(trailers);
  }

  /** There is room downstream again, or not. */
  pauseResponse(): void {
    this.forwarded?.pauseResponse();
  }

  resumeResponse(): void {
    this.forwarded?.resumeResponse();
  }

  /** The exchange is over, whoever ended it. */
  destroy(): void {
    this.forwarded?.destroy();
  }

  private forward(headers: HeaderMap, end: boolean, route: ChosenRoute, action: ForwardAction): void {
    const { host, options } = this;
    const name = route.cluster?.name;
    const cluster = name === undefined ? undefined : host.engine.clusters.get(name);
    if (cluster === undefined) {
      host.sendLocalReply({ status: action.clusterNotFoundStatus, details: 'cluster_not_found', flag: 'NC' });
      return;
    }
    this.forwarded = new ForwardedRequest({ host, options, headers, route, action, cluster });
    this.forwarded.start(end);
  }
}
