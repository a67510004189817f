import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { passThrough } from '../run-program.ts';

const program = fileURLToPath(new URL('../../../proxy/dist/main.js', import.meta.url));

/** `weft proxy --bootstrap FILE`: the L7 engine alone, configured by a file as Envoy is. */
export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run the L7 engine alone, configured by a bootstrap file in Envoy’s YAML or JSON')
    .requiredOption('--bootstrap <file>', 'Envoy v3 bootstrap: YAML or JSON')
    .option('-l, --log-level <level>', 'off, error, warn, info, debug or trace', 'info')
    .option('--drain-time-s <seconds>', 'how long connections of replaced listeners may go on', '600')
    .action(async (flags: { bootstrap: string; logLevel: string; drainTimeS: string }) => {
      process.exitCode = await passThrough(
        process.execPath,
        [
          '--enable-source-maps',
          program,
          '--bootstrap',
          flags.bootstrap,
          '--log-level',
          flags.logLevel,
          '--drain-time-s',
          flags.drainTimeS,
        ],
        process.env,
      );
    });
}
