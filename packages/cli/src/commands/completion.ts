import { Argument, Command } from 'commander';
import { clusterEnvironment, type ClusterOptions } from '../cluster-access.ts';
import { ensureKubernetesClients } from '../kubernetes-clients.ts';
import { capture } from '../run-program.ts';

/** Asks the program itself what may come next, so that a script never lags behind it. */
const scripts = {
  bash: `_weft() {
  local IFS=$'\\n'
  COMPREPLY=($(weft completion words -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _weft weft
`,
  zsh: `#compdef weft
_weft() {
  local -a found
  found=("\${(@f)$(weft completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  compadd -- \${found:#}
}
compdef _weft weft
`,
  fish: `complete -c weft -f -a '(set -l w (commandline -opc) (commandline -ct); weft completion words -- $w[2..] 2>/dev/null)'
`,
} as const;

/** `weft completion bash|zsh|fish`. */
export function completionCommand(options: () => ClusterOptions): Command {
  const completion = new Command('completion')
    .description('print the completion script of a shell: source <(weft completion bash)')
    .addArgument(new Argument('<shell>').choices(Object.keys(scripts)))
    .action((shell: keyof typeof scripts) => void process.stdout.write(scripts[shell]));
  completion.addCommand(
    new Command('words')
      .argument('[words...]')
      .action(async (words: readonly string[], _flags: unknown, command: Command) => {
        const program = command.parent?.parent;
        if (program === null || program === undefined) return;
        const [first, ...rest] = words;
        const isClient = first === 'kubectl' || first === 'helm';
        const found = isClient ? await clientCandidates(first, rest, options()) : candidates(program, words);
        process.stdout.write(found.map((word) => `${word}\n`).join(''));
      }),
    { hidden: true },
  );
  return completion;
}

/** What may stand in place of the last word: subcommands, flags, or the values that a flag or argument may have. */
export function candidates(program: Command, words: readonly string[]): readonly string[] {
  let command = program;
  let valueOf: Command['options'][number] | undefined;
  for (const word of words.slice(0, -1)) {
    if (valueOf !== undefined) {
      valueOf = undefined;
      continue;
    }
    const at = command;
    const option = at.options.find((o) => o.long === word || o.short === word);
    if (option?.required === true) valueOf = option;
    command = at.commands.find((c) => c.name() === word || c.aliases().includes(word)) ?? at;
  }
  const last = words.at(-1) ?? '';
  const all =
    valueOf !== undefined
      ? (valueOf.argChoices ?? [])
      : last.startsWith('-')
        ? [...command.options, ...(command === program ? [] : program.options)].flatMap((o) => o.long ?? [])
        : [
            ...command
              .createHelp()
              .visibleCommands(command)
              .map((c) => c.name()),
            ...command.registeredArguments.flatMap((a) => a.argChoices ?? []),
          ];
  return [...new Set(all)].filter((word) => word.startsWith(last)).sort();
}

/** kubectl and helm complete themselves: a candidate a line, then one that is for their own scripts. */
async function clientCandidates(
  name: 'kubectl' | 'helm',
  words: readonly string[],
  { kubeconfig }: ClusterOptions,
): Promise<readonly string[]> {
  const clients = await ensureKubernetesClients();
  const output = await capture(clients[name], ['__complete', ...words], {
    env: await clusterEnvironment(kubeconfig),
  });
  return output.split('\n').flatMap((line) => (line.startsWith(':') ? [] : (line.split('\t')[0] ?? [])));
}
