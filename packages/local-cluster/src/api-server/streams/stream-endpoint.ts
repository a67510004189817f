import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { noSuchPath } from '../api-error.ts';
import type { User } from '../auth/user.ts';
import type { HttpExchange } from '../http-exchange.ts';
import type { ResourceRequest } from '../request-info.ts';
import type { Resource } from '../resource.ts';

export interface UpgradeCall {
  readonly request: IncomingMessage;
  readonly socket: Duplex;
  readonly head: Buffer;
  readonly url: URL;
  readonly info: ResourceRequest;
  readonly resource: Resource;
  readonly user: User;
}

export class StreamEndpoint {
  async logs(_exchange: HttpExchange, _info: ResourceRequest, _resource: Resource): Promise<void> {
    throw noSuchPath();
  }

  async upgrade(_call: UpgradeCall): Promise<void> {
    throw noSuchPath();
  }
}
