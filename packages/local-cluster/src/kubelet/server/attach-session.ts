import type { PodContainer } from '../pod-container.ts';
import { channel, type ChannelSocket } from './channel-socket.ts';

/** Shows a running container's output as it comes, and gives it input if it takes any. */
export function attachSession(
  socket: ChannelSocket,
  container: PodContainer,
  { stdin }: { readonly stdin: boolean },
): void {
  const { running, log } = container;
  if (running === undefined || log === undefined)
    return socket.fail(`container ${container.name} is not running`);
  const unsubscribe = log.subscribe((stream, chunk) => {
    // A client that reads slower than the container writes misses output; the log has it all.
    if (!socket.congested) socket.send(channel[stream], chunk);
  });
  const input = stdin ? running.stdin : undefined;
  input?.on('drain', () => socket.resumeInput());
  socket.listen({
    onStdin: (data) => {
      if (input?.writable === true && !input.write(data)) socket.pauseInput();
    },
    onStdinEnd: () => {
      if (container.spec.stdinOnce === true) input?.end();
    },
    onClose: unsubscribe,
  });
  void running.exited.then(
    ({ exitCode }) => {
      unsubscribe();
      socket.finish(exitCode);
    },
    () => unsubscribe(),
  );
}
