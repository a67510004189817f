import { parseArgs } from 'node:util';
import { WeftError } from '@weft/telemetry';

/** `proxy waypoint …`, as the deployment's template writes it. */
export interface CommandLine {
  /** DNS domain of the proxy: `<namespace>.svc.<cluster domain>`. */
  readonly domain: string | undefined;
  readonly serviceCluster: string | undefined;
  readonly logLevel: string | undefined;
}

/** @throws WEFT2201 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  try {
    const { values, positionals } = parseArgs({
      args: [...args],
      allowPositionals: true,
      options: {
        domain: { type: 'string' },
        serviceCluster: { type: 'string' },
        proxyLogLevel: { type: 'string' },
        proxyComponentLogLevel: { type: 'string' },
        log_output_level: { type: 'string' },
        concurrency: { type: 'string' },
      },
    });
    const [command, role] = positionals;
    if (command !== 'proxy' || role !== 'waypoint' || positionals.length > 2) {
      throw new Error(`expected "proxy waypoint", got ${JSON.stringify(positionals.join(' '))}`);
    }
    return {
      domain: values.domain,
      serviceCluster: values.serviceCluster,
      logLevel: levelOf(values.log_output_level) ?? values.proxyLogLevel,
    };
  } catch (error) {
    throw new WeftError('WEFT2201', error instanceof Error ? error.message : String(error), { cause: error });
  }
}

/** Istio's syntax is `default:info,ads:debug`; the default decides. */
function levelOf(logOutputLevel: string | undefined): string | undefined {
  for (const part of logOutputLevel?.split(',') ?? []) {
    const [scope, level] = part.split(':');
    if (scope === 'default' && level !== undefined) return level;
  }
  return undefined;
}
