import { fileURLToPath } from 'node:url';
import { Command } from 'commander';
import { passThrough } from '../run-program.ts';

const engine = fileURLToPath(new URL('../../../proxy/dist/main.js', import.meta.url));

/** `weft proxy --bootstrap FILE`: the L7 engine alone, configured by Envoy's bootstrap. Its options are its own. */
export function proxyCommand(): Command {
  return new Command('proxy')
    .description('run the L7 engine alone with an Envoy bootstrap (YAML or JSON); see weft proxy --help')
    .argument('[args...]')
    .allowUnknownOption()
    .passThroughOptions()
    .helpOption(false)
    .action(async (args: readonly string[]) => {
      process.exitCode = await passThrough(
        process.execPath,
        ['--enable-source-maps', engine, ...args],
        process.env,
      );
    });
}
