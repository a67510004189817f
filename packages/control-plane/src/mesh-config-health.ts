import type { Collection, Graph } from '@weft/collections';
import { type Gauge, type Logger, WeftError, describeError } from '@weft/telemetry';
import type { MeshConfigReport } from './ambient/mesh.ts';

export interface MeshConfigHealthOptions {
  readonly graph: Pick<Graph, 'subscribe'>;
  readonly reports: Collection<MeshConfigReport>;
  readonly valid: Pick<Gauge, 'set'>;
  readonly logger: Pick<Logger, 'warn'>;
}

/**
 * Says of the mesh configuration what nobody sees otherwise: that it is invalid, so that the last valid one or the
 * defaults stay in force, and which of its fields have no effect, each once until the configuration changes.
 */
export class MeshConfigHealth {
  private readonly options: MeshConfigHealthOptions;
  private said: ReadonlySet<string> = new Set();
  private readonly unsubscribe: () => void;

  constructor(options: MeshConfigHealthOptions) {
    this.options = options;
    options.valid.set(1);
    this.unsubscribe = options.graph.subscribe((changes) => {
      if (changes.of(options.reports).size > 0) this.look();
    });
  }

  /** For readiness: why the configuration is not in force, unless it is. */
  get troubles(): string[] {
    const [report] = this.options.reports.values();
    return report?.problem === undefined
      ? []
      : [`the mesh configuration is invalid and not in force: ${report.problem}`];
  }

  close(): void {
    this.unsubscribe();
  }

  private look(): void {
    const { reports, valid, logger } = this.options;
    const [report] = reports.values();
    valid.set(report?.problem === undefined ? 1 : 0);
    const notices = report?.notices ?? [];
    for (const notice of notices) {
      if (this.said.has(notice)) continue;
      const error = new WeftError('WEFT1833', notice);
      logger.warn('a field of the mesh configuration has no effect', { error: describeError(error) });
    }
    this.said = new Set(notices);
  }
}
