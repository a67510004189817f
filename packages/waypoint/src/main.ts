import { describeError, stdoutSink, untilShutdown } from '@weft/telemetry';
import { keepRequestsYoung } from '@weft/proxy';
import { runWaypoint } from './app.ts';
import { parseCommandLine } from './command-line.ts';
import { loadConfig } from './config.ts';
import { VERSION } from './version.ts';

const args = process.argv.slice(2);
if (args[0] === 'version') process.stdout.write(`${VERSION}\n`);
else await proxy();

async function proxy(): Promise<void> {
  keepRequestsYoung();
  const sink = stdoutSink();
  const stop = new AbortController();
  void untilShutdown().then(() => stop.abort());
  try {
    const config = loadConfig(process.env, parseCommandLine(args));
    await runWaypoint({ config, sink, signal: stop.signal, quit: () => stop.abort() });
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
