import { type Clock, type Logger, describeError } from '@weft/telemetry';
import { type LoadOptions, type LoadedAuthority, loadPluggedIn, loadSelfSigned } from './load-authority.ts';
import type { MeshAuthority } from './mesh-authority.ts';

export interface FollowAuthorityOptions extends LoadOptions {
  readonly loaded: LoadedAuthority;
  readonly mesh: MeshAuthority;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

/** A mounted Secret changes by renaming a link, of which watches tell differently everywhere: files are read again. */
const FILE_POLL_MS = 10_000;
/** Of the Secret with the self-signed root. Jittered, so that replicas don't renew it together. */
const SECRET_POLL_MS = 3_600_000;

/** Takes over what is plugged in, or renewed, while the process runs. Whatever can't be used leaves things as they are. */
export async function followAuthority(options: FollowAuthorityOptions): Promise<void> {
  const { loaded, mesh, directory, clock, logger, random = Math.random, signal } = options;
  const secretPollMs = (): number => SECRET_POLL_MS * (0.75 + 0.5 * random());
  let present = loaded;
  let problem: string | undefined;
  let secretDueAt = clock.now() + secretPollMs();
  for (;;) {
    await clock.sleep(FILE_POLL_MS, signal);
    if (signal.aborted) return;
    try {
      const pluggedIn = await loadPluggedIn(directory);
      let next = pluggedIn;
      // Files that vanish are no reason to make up another root.
      if (present.origin === 'self-signed' && pluggedIn === undefined && clock.now() >= secretDueAt) {
        secretDueAt = clock.now() + secretPollMs();
        next = await loadSelfSigned(options);
      }
      problem = undefined;
      if (next === undefined || isSame(present, next)) continue;
      logger.info('certificate authority changed', {
        origin: next.origin,
        expires: next.authority.notAfter.toISOString(),
      });
      present = next;
      mesh.replace(next);
    } catch (error) {
      if (signal.aborted) return;
      const description = describeError(error);
      // Once, not every ten seconds.
      if (description !== problem)
        logger.error('cannot take over the certificate authority', { error: description });
      problem = description;
    }
  }
}

function isSame(a: LoadedAuthority, b: LoadedAuthority): boolean {
  return (
    a.origin === b.origin &&
    a.crlPem === b.crlPem &&
    a.authority.certPem === b.authority.certPem &&
    a.authority.keyPem === b.authority.keyPem &&
    a.authority.rootsPem === b.authority.rootsPem &&
    a.authority.intermediatesPem.join('') === b.authority.intermediatesPem.join('')
  );
}
