import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { type SizeMeasurement, benchControlPlane } from './control-plane/bench.ts';
import { plotChangeCost } from './control-plane/plot.ts';
import { benchFairness } from './fairness/bench.ts';
import { benchProxy } from './proxy/bench.ts';
import { benchTunnel } from './tunnel/bench.ts';
import { report, type Result } from './result.ts';

/**
 * `npm run bench -- proxy|tunnel [--json] [--rounds N] [--seconds N] [--threads N] [--only SUITE]`,
 * `npm run bench -- control-plane [--json] [--sizes 1000,10000] [--plot FILE]`.
 */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    sizes: { type: 'string', default: '1000,10000,30000,100000' },
    plot: { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    envoy: { type: 'string', default: process.env['ENVOY'] ?? 'envoy' },
  },
});

const CHANGES = 30;

async function* benchAndPlot(): AsyncIterable<Result> {
  const measurements: SizeMeasurement[] = [];
  yield* benchControlPlane({
    sizes: values.sizes.split(',').map(Number),
    changes: CHANGES,
    onSize: (measurement) => measurements.push(measurement),
  });
  if (values.plot !== '') writeFileSync(values.plot, plotChangeCost(measurements));
}

const suites: Readonly<Record<string, () => AsyncIterable<Result>>> = {
  'control-plane': benchAndPlot,
  fairness: () => benchFairness({ rounds: Number(values.rounds) }),
  proxy: () =>
    benchProxy({ rounds: Number(values.rounds), seconds: Number(values.seconds), envoy: values.envoy }),
  tunnel: () =>
    benchTunnel({
      rounds: Number(values.rounds),
      seconds: Number(values.seconds),
      envoy: values.envoy,
      threads: Number(values.threads),
      only: values.only,
    }),
};

const [name = ''] = positionals;
const suite = Object.hasOwn(suites, name) ? suites[name] : undefined;
if (suite === undefined) {
  process.stderr.write(
    `usage: npm run bench -- ${Object.keys(suites).join('|')} [--json] [--rounds N] [--seconds N] [--threads N] [--only SUITE] [--envoy FILE]\n`,
  );
  process.exitCode = 2;
} else {
  for await (const result of suite()) report(result, values.json);
}
