import type { RawData, WebSocket } from 'ws';

/** Unsent bytes from which the other side isn't read any further, and at which it is again. */
const HIGH_WATER_BYTES = 1024 * 1024;
const LOW_WATER_BYTES = 256 * 1024;

/** Passes messages both ways, with back-pressure, until either side closes; the other is then closed alike. */
export function bridge(a: WebSocket, b: WebSocket): void {
  forward(a, b);
  forward(b, a);
  a.resume();
  b.resume();
}

function forward(from: WebSocket, to: WebSocket): void {
  from.on('message', (data: RawData, isBinary: boolean) => {
    if (to.readyState !== to.OPEN) return;
    to.send(data as Buffer, { binary: isBinary }, () => {
      // binaryType is nodebuffer
      if (from.isPaused && to.bufferedAmount <= LOW_WATER_BYTES) from.resume();
    });
    if (to.bufferedAmount > HIGH_WATER_BYTES) from.pause();
  });
  from.on('close', (code, reason) => {
    // 1005 and 1006 mean "no code": they can't be sent.
    if (code === 1005 || code === 1006) to.close(1000);
    else to.close(code, reason);
    from.removeAllListeners('message');
  });
  from.on('error', () => to.terminate());
}
