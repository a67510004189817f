import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { Command, InvalidArgumentError, Option } from 'commander';
import { clusterStatus, defaultStateDirectory, startCluster, stopCluster } from '@weft/local-cluster';
import { WeftError } from '@weft/telemetry';
import { meshImages } from '../mesh-images.ts';
import { paint, render, type OutputFormat } from '../output.ts';
import { portNumber } from '../port-number.ts';

interface UpFlags {
  readonly name: string;
  readonly nodes: number;
  readonly port?: number;
  readonly images?: string;
}

/** `weft local`: a small Kubernetes on this machine. */
export function localCommand(): Command {
  const local = new Command('local').description(
    'a small Kubernetes cluster on this machine, made of namespaces',
  );
  local
    .command('up')
    .description('start the cluster in the background and wait until its nodes are ready')
    .option('--name <name>', 'name of the cluster', 'default')
    .option('--nodes <count>', 'number of nodes', wholeNumber, 2)
    .option('--port <port>', 'port of the API on 127.0.0.1 (default: a free one)', portNumber)
    .option(
      '--images <file>',
      'JSON table of images and the local commands that they stand for (default: the mesh’s)',
    )
    .action(async ({ name, nodes, port, images }: UpFlags) => {
      const cluster = await startCluster({
        name,
        nodes,
        images: images ?? meshImages,
        ...(port === undefined ? {} : { port }),
        onProgress: (sentence) => process.stderr.write(`${paint('dim', sentence, process.stderr)}\n`),
      });
      const count = cluster.nodes.length;
      const steps = ['weft kubectl get nodes', 'weft install'];
      // Commands find the default cluster by themselves; any other has to be named.
      if (name !== 'default') steps.unshift(`export KUBECONFIG=${cluster.kubeconfigPath}`);
      process.stdout.write(
        `${paint('green', '✓')} ${count === 1 ? '1 node is' : `${count} nodes are`} ready. Try:\n${steps.map((s) => `  ${s}\n`).join('')}`,
      );
    });
  local
    .command('down')
    .description('stop the cluster and remove everything of it')
    .option('--name <name>', 'name of the cluster', 'default')
    .option('--keep-data', 'keep its objects for the next start')
    .action(async ({ name, keepData }: { name: string; keepData?: boolean }) => {
      const stopped = await stopCluster({ name, keepData: keepData === true });
      process.stdout.write(
        stopped ? `${paint('green', '✓')} the cluster is gone\n` : 'there is no such cluster\n',
      );
    });
  local
    .command('status')
    .description('tell whether the cluster runs')
    .option('--name <name>', 'name of the cluster', 'default')
    .addOption(
      new Option('-o, --output <format>', 'output format')
        .choices(['short', 'json', 'yaml'])
        .default('short'),
    )
    .action(async ({ name, output }: { name: string; output: OutputFormat }) => {
      const status = await clusterStatus({ name });
      if (output !== 'short') process.stdout.write(render(status, output));
      else if (status.state !== 'running') process.stdout.write(`${status.state}\n`);
      else {
        const nodes = status.nodes?.map((n) => `${n.name} ${n.ready ? 'ready' : 'not ready'}`).join(', ');
        process.stdout.write(
          `running since ${status.startedAt}\nserver: ${status.server}\nnodes: ${nodes ?? 'the API does not answer'}\n`,
        );
      }
      if (status.state !== 'running') process.exitCode = 1;
    });
  local
    .command('kubeconfig')
    .description('print the kubeconfig, or its path')
    .option('--name <name>', 'name of the cluster', 'default')
    .option('--path', 'print where the file is')
    .action(async ({ name, path: pathOnly }: { name: string; path?: boolean }) => {
      const file = path.join(defaultStateDirectory(name), 'kubeconfig');
      try {
        const content = await readFile(file, 'utf8');
        process.stdout.write(pathOnly === true ? `${file}\n` : content);
      } catch (error) {
        throw new WeftError('WEFT1901', `there is no local cluster "${name}"`, { cause: error });
      }
    });
  return local;
}

function wholeNumber(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('expected a whole number');
  return Number(text);
}
