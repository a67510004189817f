import { Command, Option } from 'commander';
import { runChecks, type CheckResult } from '../check/checks.ts';
import { accessCluster, type ClusterOptions } from '../cluster-access.ts';
import { paint, render, type OutputFormat } from '../output.ts';

/** `weft check`: is the mesh healthy, and is every labelled pod really in it? */
export function checkCommand(options: () => ClusterOptions): Command {
  return new Command('check')
    .description('check the mesh and every pod that should be in it; ends with 1 if anything is wrong')
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .action(async ({ output }: { output: OutputFormat }) => {
      const results = await runChecks(await accessCluster(options()));
      if (output === 'short') process.stdout.write(results.map(line).join(''));
      else process.stdout.write(render(results, output));
      if (results.some(({ status }) => status === 'failed')) process.exitCode = 1;
    });
}

function line({ status, name, message, next }: CheckResult): string {
  const mark = { ok: paint('green', '✓'), warning: paint('yellow', '!'), failed: paint('red', '✗') }[status];
  const detail = message === undefined ? '' : `\n    ${message.replaceAll('\n', '\n    ')}`;
  const advice = next === undefined ? '' : `\n    → ${next}`;
  return `${mark} ${name}${detail}${advice}\n`;
}
