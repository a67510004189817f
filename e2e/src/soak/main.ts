import { writeFileSync } from 'node:fs';
import { cpus, release, totalmem } from 'node:os';
import { parseArgs } from 'node:util';
import { growthTable } from './growth.ts';
import { hasPassed, soak, type SoakResult } from './soak.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '60' },
    json: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
  },
});
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 24 * 60)) {
  process.stderr.write('usage: npm run soak -- [--minutes N] [--json] [--write]\n');
  process.exit(2);
}

const result = await soak(minutes * 60, (elapsed, samples) => {
  const use = samples.map((s) => `${s.node} ${s.rssMib.toFixed(0)} MiB, ${s.descriptors} descriptors`);
  process.stderr.write(`${Math.round(elapsed)} s: ${use.join('; ')}\n`);
});
if (values.json) process.stdout.write(`${JSON.stringify({ ...environment(), ...result })}\n`);
else process.stdout.write(`${report(result)}\n`);
if (values.write)
  writeFileSync(new URL('../../../docs/soak.md', import.meta.url), `# Soak\n\n${report(result)}\n`);
process.exitCode = hasPassed(result) ? 0 : 1;

function environment(): Readonly<Record<string, string>> {
  const [cpu] = cpus();
  return {
    date: new Date().toISOString().slice(0, 10),
    machine: `${cpus().length} × ${cpu?.model ?? 'unknown'}, ${Math.round(totalmem() / 2 ** 30)} GiB`,
    kernel: release(),
    node: process.version,
    openssl: process.versions.openssl,
  };
}

function report({ seconds, work, unexpected, rows }: SoakResult): string {
  const facts = Object.entries(environment()).map(([name, value]) => `${name} ${value}`);
  const done = Object.entries(work).map(([name, count]) => `${count.toLocaleString('en')} ${name}`);
  return [
    `\`npm run soak -- --minutes ${seconds / 60} --write\`: two ztunnels under churn, memory in MiB. "Early" and "late" are the`,
    'second and the last quarter, of memory its least and else the median; limits are in `e2e/src/soak/growth.ts`.',
    '',
    `${facts.join('; ')}.`,
    `Done: ${done.join(', ')}. Failed that should not: ${unexpected.length === 0 ? 'none' : unexpected.join(' | ')}.`,
    '',
    growthTable(rows),
  ].join('\n');
}
