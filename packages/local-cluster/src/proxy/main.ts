import { readFileSync } from 'node:fs';
import { createLogger, untilShutdown } from '@weft/telemetry';
import { clientOf, type ApiServerAccess } from '../controllers/config.ts';
import { ServiceProxy } from './service-proxy.ts';
import type { ProxyNode } from './service-rules.ts';

const logger = createLogger({ scope: 'proxy' });
// The supervisor wrote the file for this process.
const config = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8')) as ProxyNode & {
  readonly apiServer: ApiServerAccess;
};
const shutdown = new AbortController();
new ServiceProxy({ client: clientOf(config.apiServer), node: config, logger, signal: shutdown.signal });
await untilShutdown();
shutdown.abort();
process.exit(0);
