import { readFileSync, statSync } from 'node:fs';
import { RevocationLists } from '@weft/spiffe';
import { describeError, systemErrorCode, WeftError, type Clock, type Logger } from '@weft/telemetry';

/** How soon a change of the file is seen. */
export const CRL_POLL_MS = 2_000;

export interface RevocationFileOptions {
  readonly path: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** At each content that can be read. */
  readonly onChange: (bytes: Buffer) => void;
  readonly onError: (error: WeftError) => void;
}

/**
 * The file of revocation lists, followed as it is replaced. It is polled: a kubelet swaps a link two folders up,
 * which no watch of the file reports, and the folder may not be there yet. A file that is gone or can't be read leaves
 * in force what was read last; an empty one revokes nothing.
 */
export class RevocationFile {
  private readonly options: RevocationFileOptions;
  private seen: string | undefined;
  private cancel: () => void = () => undefined;

  constructor(options: RevocationFileOptions) {
    this.options = options;
    this.poll();
  }

  close(): void {
    this.cancel();
  }

  private poll(): void {
    const { clock } = this.options;
    this.cancel = clock.schedule(CRL_POLL_MS, () => this.poll());
    const version = this.version();
    if (version === undefined || version === this.seen) return;
    this.seen = version;
    this.read();
  }

  private read(): void {
    const { path, logger, onChange, onError } = this.options;
    try {
      const bytes = readFileSync(path);
      const { size } = RevocationLists.parse(bytes);
      onChange(bytes);
      logger.info('certificate revocation lists in force', { path, lists: size });
    } catch (error) {
      const failure = WeftError.is(error)
        ? error
        : new WeftError('WEFT1609', `${path} cannot be read`, { cause: error });
      onError(failure);
      logger.warn(describeError(failure), { code: failure.code, path });
    }
  }

  /** Another whenever the content may be another; undefined while there is no file. */
  private version(): string | undefined {
    try {
      const { dev, ino, size, mtimeNs } = statSync(this.options.path, { bigint: true });
      return `${dev} ${ino} ${size} ${mtimeNs}`;
    } catch (error) {
      return ['ENOENT', 'ENOTDIR'].includes(systemErrorCode(error) ?? '') ? undefined : 'unreadable';
    }
  }
}
