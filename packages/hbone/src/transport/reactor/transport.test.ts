import { ENGINE_VARIABLE } from '../../testing/socket-engine.ts';

/** What holds on node:tls holds on the reactor: the same tests once more. */
process.env[ENGINE_VARIABLE] = 'reactor';
const suites = ['transfers', 'tunnel', 'node-http2', 'pool', 'inner-tunnel', 'tls'];
for (const suite of suites) {
  const url = new URL(`../${suite}.test.js`, import.meta.url);
  await import(url.href);
}
