import { open, readFile, rm } from 'node:fs/promises';
import { systemErrorCode, WeftError } from '@weft/telemetry';
import { processStartTime } from './namespaces.ts';

/** Lets one launcher at a time work on a state directory. A lock whose owner died is taken over. */
export class LauncherLock implements AsyncDisposable {
  private readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  /** @throws WEFT2003 when another launcher is at work */
  static async acquire(path: string): Promise<LauncherLock> {
    for (let attempt = 0; ; attempt++) {
      try {
        const file = await open(path, 'wx', 0o600);
        await file.writeFile(`${process.pid} ${(await processStartTime(process.pid)) ?? ''}`);
        await file.close();
        return new LauncherLock(path);
      } catch (error) {
        if (systemErrorCode(error) !== 'EEXIST' || attempt > 0) throw error;
      }
      const [pid = '', startTime = ''] = (await readFile(path, 'utf8').catch(() => '')).split(' ');
      if (startTime !== '' && (await processStartTime(Number(pid))) === startTime) {
        throw new WeftError('WEFT2003', `process ${pid} is starting this cluster right now`);
      }
      await rm(path, { force: true });
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.path, { force: true });
  }
}
