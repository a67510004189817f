import { parseArgs } from 'node:util';
import { benchProxy } from './proxy/bench.ts';
import { report, type Result } from './result.ts';

/** `npm run bench -- proxy [--json] [--rounds N] [--seconds N]`. */
const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    json: { type: 'boolean', default: false },
    rounds: { type: 'string', default: '3' },
    seconds: { type: 'string', default: '5' },
    envoy: { type: 'string', default: process.env['ENVOY'] ?? 'envoy' },
  },
});

const suites: Readonly<Record<string, () => AsyncIterable<Result>>> = {
  proxy: () =>
    benchProxy({ rounds: Number(values.rounds), seconds: Number(values.seconds), envoy: values.envoy }),
};

const [name = ''] = positionals;
const suite = Object.hasOwn(suites, name) ? suites[name] : undefined;
if (suite === undefined) {
  process.stderr.write(
    `usage: npm run bench -- ${Object.keys(suites).join('|')} [--json] [--rounds N] [--seconds N] [--envoy FILE]\n`,
  );
  process.exitCode = 2;
} else {
  for await (const result of suite()) report(result, values.json);
}
