import type { HeaderMap, StreamInfo } from '../../engine/types.ts';
import type { ManagerConfig } from './config.ts';

let dateText = '';
let dateSecond = 0;

/** The `date` of now: made once a second, for it costs more than the rest of a small response. */
function httpDate(nowMs: number): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== dateSecond) {
    dateSecond = second;
    dateText = new Date(second * 1000).toUTCString();
  }
  return dateText;
}

/** Adds what the connection manager says about itself, behind all filters. */
export function finishResponse(headers: HeaderMap, info: StreamInfo, config: ManagerConfig): void {
  if (!headers.has('date')) headers.set('date', httpDate(config.engine.clock.now()));
  if (config.serverHeader === 'overwrite') headers.set('server', config.serverName);
  else if (config.serverHeader === 'append-if-absent' && !headers.has('server')) {
    headers.set('server', config.serverName);
  }
  if (config.edge.via !== '') {
    const before = headers.joined('via');
    headers.set('via', before === undefined ? config.edge.via : `${before}, ${config.edge.via}`);
  }
  if (config.requestIdInResponse && info.requestId !== undefined) {
    headers.set('x-request-id', info.requestId);
  }
}
