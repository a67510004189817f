import { parseArgs } from 'node:util';
import {
  LogLevels,
  createLogger,
  describeError,
  isLogLevel,
  untilShutdown,
  WeftError,
} from '@weft/telemetry';
import { readBootstrap } from './config/bootstrap.ts';
import { Gate } from './config/gate.ts';
import { keepRequestsYoung } from './engine/heap-flags.ts';
import { Proxy } from './proxy.ts';

/** `weft proxy --bootstrap FILE`: the engine alone, configured as Envoy is. */
const usage =
  'usage: proxy --bootstrap FILE [--log-level off|error|warn|info|debug|trace] [--drain-time-s N]\n';
const DEFAULT_SHUTDOWN_DRAIN_S = 5;

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      bootstrap: { type: 'string', short: 'c' },
      'log-level': { type: 'string', short: 'l', default: 'info' },
      'drain-time-s': { type: 'string', default: '600' },
      'shutdown-drain-s': { type: 'string', default: String(DEFAULT_SHUTDOWN_DRAIN_S) },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const level = values['log-level'];
  if (values.help === true || values.bootstrap === undefined || !isLogLevel(level)) {
    process.stderr.write(usage);
    return values.help === true ? 0 : 2;
  }
  keepRequestsYoung();
  const logLevels = new LogLevels(level);
  const logger = createLogger({ scope: 'proxy', levels: logLevels });
  const quit = new Gate();
  const proxy = new Proxy({
    bootstrap: readBootstrap(values.bootstrap),
    logger,
    logLevels,
    drainTimeMs: Number(values['drain-time-s']) * 1_000,
    onQuit: () => quit.open(),
  });
  try {
    const stopped = Promise.race([untilShutdown().then(() => 'signal' as const), quit.opened]);
    await proxy.start();
    await Promise.race([proxy.live, stopped]);
    if ((await stopped) === 'signal') {
      logger.info('draining');
      await proxy.drainFor(Number(values['shutdown-drain-s']) * 1_000);
    }
  } finally {
    await proxy.close();
  }
  return 0;
}

main().then(
  (code) => {
    process.exitCode = code;
  },
  (error: unknown) => {
    process.stderr.write(`${describeError(error)}\n${WeftError.is(error) ? `${error.next}\n` : ''}`);
    process.exitCode = 1;
  },
);
