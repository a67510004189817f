import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { defaultStateDirectory, stopCluster } from '@weft/local-cluster';
import { paint } from '@weft/cli';
import { WeftError, describeError } from '@weft/telemetry';
import { LocalMesh, workspace } from '../kit/local-mesh.ts';
import { Narrator } from './narrator.ts';
import { tour } from './tour.ts';

const NAME = 'demo';
const keep = process.argv.includes('--keep');
const narrator = new Narrator();

process.exitCode = await run();

async function run(): Promise<number> {
  let mesh: LocalMesh | undefined;
  let stopping = false;
  const stop = async (): Promise<void> => {
    if (stopping) return;
    stopping = true;
    narrator.quiet();
    await mesh?.stop();
  };
  const interrupted = (): void => void stop().finally(() => process.exit(130));
  process.once('SIGINT', interrupted).once('SIGTERM', interrupted);
  try {
    narrator.heading('A cluster on this machine');
    // With --keep the cluster is the default one, so that `weft` and `weft kubectl` find it afterwards.
    const where = keep ? { name: 'default', stateDir: defaultStateDirectory() } : { name: NAME };
    mesh = await narrator.during('starting two nodes', () => LocalMesh.start(where));
    await tour(mesh, narrator, await readFile(path.join(workspace, 'samples/shop.yaml'), 'utf8'));
    narrator.heading(`All as promised, in ${narrator.elapsedSeconds} s.`);
    if (keep) {
      process.stdout.write(
        '  The cluster stays up. Explore it:\n' +
          [
            'weft check',
            'weft ztunnel-config workload',
            'weft ztunnel-config connections',
            'weft kubectl logs -n shop deploy/frontend -f',
            'weft local down',
          ]
            .map((command) => `    ${paint('cyan', `npx ${command}`)}\n`)
            .join(''),
      );
      return 0;
    }
    process.stdout.write(
      `  ${paint('cyan', 'npm run demo -- --keep')} leaves the cluster up, to explore it with npx weft.\n`,
    );
    return 0;
  } catch (error) {
    narrator.quiet();
    process.stderr.write(
      `\n${paint('red', 'The tour ends here:', process.stderr)} ${describeError(error)}\n`,
    );
    if (WeftError.is(error)) process.stderr.write(`→ ${error.next}\n`);
    return 1;
  } finally {
    if (!keep) await narrator.during('taking the cluster down', stop);
    else if (mesh === undefined) await stopCluster({ name: 'default' }).catch(() => undefined);
  }
}
