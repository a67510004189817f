#!/usr/bin/env node
// All tests, ending with one line that counts them: unit and kernel tests side by side, then the end-to-end ones,
// which need the machine for themselves. Arguments are passed to jest and then only those tests run.
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { explainMissing, ensureSystemPackages, testPrograms } from './system-packages.mjs';

const missing = ensureSystemPackages(testPrograms);
if (missing.length > 0) {
  console.error(explainMissing(missing));
  if (process.env.CI === 'true') process.exit(1);
  console.error('kernel and end-to-end tests that need them will be skipped');
}

/** A run that hangs, on a handle that a test left open, is a failure and not a wait for ever. */
const MAX_RUN_MINUTES = 18;

const failures = [];
const totals = { passed: 0, failed: 0, skipped: 0 };

/** Runs a check that is no jest suite; it counts as one test. */
function check(name, command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) {
    totals.passed++;
    console.log(`✓ ${name}`);
  } else {
    totals.failed++;
    failures.push(name);
    console.log(`✗ ${name}\n${stdout}${stderr}`);
  }
}

function jest(name, args) {
  console.log(`\n${name}`);
  const outputFile = path.join(tmpdir(), `weft-jest-${process.pid}.json`);
  const { status, error } = spawnSync(
    process.execPath,
    [
      '--experimental-vm-modules',
      '--disable-warning=ExperimentalWarning',
      'node_modules/jest/bin/jest.js',
      ...args,
      '--json',
      `--outputFile=${outputFile}`,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'], timeout: MAX_RUN_MINUTES * 60_000, killSignal: 'SIGKILL' },
  );
  if (!existsSync(outputFile)) {
    totals.failed++;
    const how =
      error === undefined
        ? `ended with ${status}`
        : `did not end within ${MAX_RUN_MINUTES} min (${error.code})`;
    failures.push(`${name}: jest ${how}`);
    return [];
  }
  const result = JSON.parse(readFileSync(outputFile, 'utf8'));
  rmSync(outputFile);
  totals.passed += result.numPassedTests;
  totals.skipped += result.numPendingTests + result.numTodoTests;
  totals.failed += result.numFailedTests + result.numRuntimeErrorTestSuites;
  for (const suite of result.testResults) {
    if (suite.status === 'failed') failures.push(path.relative(process.cwd(), suite.name));
  }
  if (result.numFailedTests === 0 && status !== 0 && result.numRuntimeErrorTestSuites === 0) {
    totals.failed++;
    failures.push(`${name}: jest ended with ${status}`);
  }
  return result.testResults.map((suite) => path.relative(process.cwd(), suite.name));
}

/** A folder that no pattern matches would be silently untested. */
function everyFolderRan(executed) {
  const folders = [...readdirSync('packages').map((p) => `packages/${p}`), 'cni-plugin', 'e2e', 'bench'];
  for (const folder of folders) {
    const src = path.join(folder, 'src');
    if (!existsSync(src)) continue;
    const has = readdirSync(src, { recursive: true }).some((file) => file.endsWith('.test.ts'));
    if (has && !executed.some((file) => file.startsWith(`${folder}/`))) {
      totals.failed++;
      failures.push(`${folder} has tests, but none ran`);
    }
  }
}

const selected = process.argv.slice(2);
if (selected.length > 0) {
  jest('selected tests', selected);
} else {
  console.log('checks');
  check('lint: no finding', 'oxlint', ['--type-aware', '--deny-warnings']);
  check('format: as biome writes it', 'biome', ['format']);
  check('generated protobuf code is what the .proto files give', process.execPath, [
    'packages/api/scripts/generate-proto.mjs',
    '--check',
  ]);
  check('generated CRDs are what the models give', process.execPath, [
    'packages/api/scripts/generate-crds.mjs',
    '--check',
  ]);
  check('docs/errors.md is what the catalogue gives', process.execPath, [
    'packages/telemetry/scripts/generate-errors-doc.mjs',
    '--check',
  ]);
  check('docs/compatibility.md says of each field of Envoy what the engine does', process.execPath, [
    'packages/proxy/scripts/generate-fields-doc.mjs',
    '--check',
  ]);
  const executed = [
    ...jest('unit and kernel tests', [
      '--maxWorkers=2',
      '--testPathIgnorePatterns',
      '/e2e/',
      'cluster.kernel',
    ]),
    ...jest('cluster tests', ['--runInBand', 'cluster.kernel']),
    ...jest('end-to-end tests', ['--runInBand', '/e2e/']),
  ];
  everyFolderRan(executed);
}

for (const failure of failures) console.log(`failed: ${failure}`);
// A test that nobody sees is no test: where everything is installed, nothing may be skipped.
const skippedInCi = process.env.CI === 'true' && totals.skipped > 0;
if (skippedInCi) console.log('skipped tests are failures in CI');
console.log(`${totals.passed} passed, ${totals.failed} failed, ${totals.skipped} skipped`);
process.exit(totals.failed > 0 || skippedInCi ? 1 : 0);
