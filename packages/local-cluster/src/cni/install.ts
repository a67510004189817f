import { chmod, mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { WeftError } from '@weft/telemetry';
import { readNetworkConfig } from './conflist.ts';

const PLUGIN_TYPE = 'weft-ptp';
const NETWORK_NAME = 'weft';
const CNI_VERSION = '1.0.0';

export interface BasePluginOptions {
  readonly confDir: string;
  readonly binDir: string;
  /** Where the plugin keeps which addresses are taken. */
  readonly dataDir: string;
  readonly podCidr: string;
}

/**
 * Gives a node its base network: the plugin's executable, and a configuration unless the node has one. An existing
 * one stays as it is, for a mesh may have chained itself into it.
 */
export async function installBasePlugin({
  confDir,
  binDir,
  dataDir,
  podCidr,
}: BasePluginOptions): Promise<void> {
  const main = fileURLToPath(new URL('./ptp-plugin-main.js', import.meta.url));
  await mkdir(binDir, { recursive: true });
  await writeAtomically(
    join(binDir, PLUGIN_TYPE),
    `#!/bin/sh\nexec '${process.execPath}' --disable-warning=ExperimentalWarning '${main}'\n`,
    0o755,
  );
  if (await isConfigured(confDir)) return;
  await mkdir(confDir, { recursive: true });
  const config = {
    cniVersion: CNI_VERSION,
    name: NETWORK_NAME,
    plugins: [{ type: PLUGIN_TYPE, podCidr, dataDir }],
  };
  await writeAtomically(
    join(confDir, `10-${NETWORK_NAME}.conflist`),
    `${JSON.stringify(config, undefined, 2)}\n`,
    0o644,
  );
}

async function isConfigured(confDir: string): Promise<boolean> {
  try {
    return (await readNetworkConfig(confDir)) !== undefined;
  } catch (error) {
    // Damaged is for its owner to mend, and reported with the node's condition.
    if (WeftError.is(error)) return true;
    throw error;
  }
}

async function writeAtomically(path: string, content: string, mode: number): Promise<void> {
  await writeFile(`${path}.tmp`, content);
  await chmod(`${path}.tmp`, mode);
  await rename(`${path}.tmp`, path);
}
