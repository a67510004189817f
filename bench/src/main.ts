import { parseArgs } from 'node:util';
import { benchFairness } from './fairness/bench.ts';
import { benchProxy } from './proxy/bench.ts';
import { benchTunnel } from './tunnel/bench.ts';
import { report, type Result } from './result.ts';

/** `npm run bench -- proxy|tunnel [--json] [--rounds N] [--seconds N] [--threads N] [--only SUITE]`. */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    threads: { type: 'string', default: '2' },
    only: { type: 'string', default: '' },
    envoy: { type: 'string', default: process.env['ENVOY'] ?? 'envoy' },
  },
});

const suites: Readonly<Record<string, () => AsyncIterable<Result>>> = {
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
