import { type Clock, type Logger, describeError } from '@weft/telemetry';
import { type LoadOptions, type LoadedAuthority, loadPluggedIn, loadSelfSigned } from './load-authority.ts';
import { KeyedReconciler } from '../reconcile/keyed-reconciler.ts';
import type { MeshAuthority } from './mesh-authority.ts';
import type { RotationRecord } from './rotation-record.ts';

export interface FollowAuthorityOptions extends LoadOptions {
  readonly loaded: LoadedAuthority;
  readonly mesh: MeshAuthority;
  readonly record: RotationRecord;
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
  const { loaded, mesh, record, directory, clock, logger, random = Math.random, signal } = options;
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
      // Nobody hears of a root whose rotation couldn't go on elsewhere.
      const announcement = mesh.announcementOf(next);
      const signsFrom = announcement === undefined ? undefined : await record.announce(announcement);
      present = next;
      mesh.replace(next, signsFrom);
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

/** Keeps the record of a rotation as the mesh's authority has it, and removes it in the end. */
export function recordRotation(
  options: Pick<FollowAuthorityOptions, 'mesh' | 'record' | 'clock' | 'logger' | 'signal'>,
): void {
  const { mesh, record, clock, logger, signal } = options;
  const key = 'rotation';
  const reconciler = new KeyedReconciler({
    clock,
    signal,
    reconcile: () => record.save(mesh.rotation),
    onError: (_, error) =>
      logger.warn('cannot record the rotation of roots', { error: describeError(error) }),
  });
  mesh.subscribe(() => reconciler.enqueue(key));
  reconciler.enqueue(key);
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
