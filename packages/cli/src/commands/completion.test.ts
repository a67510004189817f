import { describe, expect, it } from '@jest/globals';
import { Command, Option } from 'commander';
import { candidates } from './completion.ts';

const program = new Command('weft')
  .option('-n, --namespace <namespace>')
  .addCommand(
    new Command('ztunnel-config')
      .alias('zc')
      .addCommand(
        new Command('workload').addOption(new Option('-o, --output <format>').choices(['json', 'yaml'])),
      )
      .addCommand(new Command('service')),
  )
  .addCommand(new Command('check'))
  .addCommand(new Command('secret'), { hidden: true });

describe('completion', () => {
  it.each([
    ['the first word', ['']],
    ['what it begins with', ['zt']],
    ['subcommands', ['ztunnel-config', '']],
    ['subcommands behind an alias', ['zc', 's']],
    ['flags, its own and those of the program', ['zc', 'workload', '--']],
    ['the values of a flag', ['zc', 'workload', '-o', '']],
    ['what stands behind a flag and its value', ['-n', 'check', 'zc', 'w']],
    ['nothing where anything may stand', ['zc', 'workload', '']],
  ] as const)('offers %s', (_what, words) => {
    const expected: Record<string, readonly string[]> = {
      '': ['check', 'help', 'ztunnel-config'],
      zt: ['ztunnel-config'],
      'ztunnel-config ': ['help', 'service', 'workload'],
      'zc s': ['service'],
      'zc workload --': ['--namespace', '--output'],
      'zc workload -o ': ['json', 'yaml'],
      '-n check zc w': ['workload'],
      'zc workload ': [],
    };
    expect(candidates(program, words)).toEqual(expected[words.join(' ')]);
  });
});
