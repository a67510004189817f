import { readFileSync } from 'node:fs';
import { runPtpPlugin } from './ptp-plugin.ts';

// The composition root of the plugin's process; see install.ts for the wrapper that starts it.
const { env } = process;
const command = env.CNI_COMMAND ?? '';
const { exitCode, stdout } = runPtpPlugin({
  command,
  containerId: env.CNI_CONTAINERID ?? '',
  netns: env.CNI_NETNS ?? '',
  ifName: env.CNI_IFNAME ?? '',
  stdin: command === 'VERSION' ? '' : readFileSync(0, 'utf8'),
});
process.stdout.write(stdout);
process.exitCode = exitCode;
