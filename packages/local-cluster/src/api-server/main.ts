import { createLogger, describeError, untilShutdown, WeftError } from '@weft/telemetry';
import { ApiServer } from './api-server.ts';
import { readConfig } from './config.ts';

const logger = createLogger({ scope: 'kube-apiserver' });
try {
  const path = process.argv[2];
  if (path === undefined) throw new WeftError('WEFT2022', 'usage: api-server CONFIG.json');
  const server = await ApiServer.start({
    ...readConfig(path),
    logger,
    onFatal: (error) => {
      logger.error('stopping', { error: describeError(error) });
      process.exit(1);
    },
  });
  logger.info('serving', { addresses: server.addresses.map(({ host, port }) => `${host}:${port}`) });
  await untilShutdown();
  await server.close();
} catch (error) {
  logger.error('cannot start', { error: describeError(error) });
  process.exitCode = 1;
}
