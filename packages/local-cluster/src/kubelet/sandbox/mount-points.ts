import { readFile, realpath } from 'node:fs/promises';

/** True when something is mounted exactly here, in our mount namespace. */
export async function isMountPoint(path: string): Promise<boolean> {
  const [mounts, real] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    realpath(path).catch(() => undefined), // /var/run is a link on most machines
  ]);
  return real !== undefined && mounts.split('\n').some((line) => line.split(' ')[4] === real);
}
