import { unlinkSync } from 'node:fs';
import { isMainThread } from 'node:worker_threads';

/** Preloaded into a proxy, this ends one of its data threads by an error as soon as there is a file of this name. */
const file = process.env['CRASH_DATA_THREAD'];

if (!isMainThread && file !== undefined) {
  setInterval(() => {
    try {
      unlinkSync(file);
    } catch {
      return; // not there, or another thread's already
    }
    throw new Error('crashed on purpose');
  }, 50).unref();
}
