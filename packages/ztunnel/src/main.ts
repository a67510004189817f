import { memoryTrimmer } from '@weft/linux';
import { collectWhenIdle, describeError, stdoutSink, untilShutdown } from '@weft/telemetry';
import { runZtunnel } from './app.ts';
import { loadConfig } from './config.ts';
import { VERSION } from './version.ts';

const command = process.argv[2] ?? 'proxy';
if (command === 'version') process.stdout.write(`${VERSION}\n`);
else if (command === 'proxy') await proxy();
else {
  process.stdout.write('usage: ztunnel [proxy | version | help]\n');
  if (command !== 'help') process.exitCode = 2;
}

async function proxy(): Promise<void> {
  const sink = stdoutSink();
  collectWhenIdle(memoryTrimmer());
  const stop = new AbortController();
  void untilShutdown().then(() => stop.abort());
  try {
    await runZtunnel({
      config: loadConfig(process.env),
      version: VERSION,
      sink,
      signal: stop.signal,
      quit: () => stop.abort(),
    });
    process.exitCode = 0;
  } catch (error) {
    process.stderr.write(`${describeError(error)}\n`);
    process.exitCode = 1;
  } finally {
    sink.flush();
    // The signal handlers would keep the process.
    process.exit();
  }
}
