import { WeftError } from '@weft/telemetry';

/** Configuration that cannot be used. As the reason of a NACK it reads `name: path: reason`. */
export class ConfigError extends WeftError {
  /** Name of the resource, empty while not known. */
  readonly resource: string;
  /** Field path as in the resource: `filter_chains[0].filters[1].typed_config`; may be empty. */
  readonly path: string;
  readonly reason: string;

  constructor(resource: string, path: string, reason: string, options?: { cause?: unknown }) {
    super('WEFT2101', [resource, path, reason].filter((part) => part !== '').join(': '), options);
    this.name = 'ConfigError';
    this.resource = resource;
    this.path = path;
    this.reason = reason;
  }
}
