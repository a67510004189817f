import { describeError, type Logger, WeftError } from '@weft/telemetry';
import { proveFastEngine } from './data/engine-proof.ts';
import type { EngineName } from './data/messages.ts';

/** Which engine the data threads have. @throws WEFT1343 if it must be the fast one and can't */
export async function chooseEngine(
  wanted: EngineName | 'auto',
  logger: Pick<Logger, 'info'>,
  prove: () => Promise<void> = proveFastEngine,
): Promise<EngineName> {
  if (wanted === 'portable') return 'portable';
  try {
    await prove();
    logger.info('data threads have the fast engine');
    return 'fast';
  } catch (error) {
    if (wanted === 'fast' || !WeftError.is(error)) throw error;
    logger.info(`data threads have the portable engine: ${describeError(error)}`, { code: error.code });
    return 'portable';
  }
}
