import { WeftError } from '@weft/telemetry';

/** The `Status` object that the API server answers a failed request with. */
export interface ApiStatus {
  readonly kind?: string;
  readonly status?: string;
  readonly message?: string;
  readonly reason?: string;
  readonly code?: number;
  readonly details?: {
    readonly name?: string;
    readonly kind?: string;
    readonly retryAfterSeconds?: number;
    readonly causes?: readonly {
      readonly reason?: string;
      readonly message?: string;
      readonly field?: string;
    }[];
  };
}

/** A request that the API server answered with an error: WEFT1011, or WEFT1012 for 401 and 403. */
export class KubernetesError extends WeftError {
  /** HTTP status; for an ERROR event inside a watch, the code of its Status. */
  readonly status: number;
  /** `NotFound`, `AlreadyExists`, `Conflict`, `Expired`, `Invalid`…; empty when the answer had none. */
  readonly reason: string;
  readonly details: ApiStatus['details'];

  constructor(request: string, status: number, body: ApiStatus, options?: { cause?: unknown }) {
    const what = body.message ?? `HTTP status ${status}`;
    super(status === 401 || status === 403 ? 'WEFT1012' : 'WEFT1011', `${request}: ${what}`, options);
    this.name = 'KubernetesError';
    this.status = status;
    this.reason = body.reason ?? '';
    this.details = body.details;
  }
}

/** HTTP status of a `KubernetesError` of any copy of this module, else undefined. */
export function apiErrorStatus(error: unknown): number | undefined {
  if (!WeftError.is(error) || !('status' in error)) return undefined;
  return typeof error.status === 'number' ? error.status : undefined;
}

export function isNotFound(error: unknown): boolean {
  return apiErrorStatus(error) === 404;
}

/** A write on a stale resourceVersion, an apply that another manager's fields stop, or a create of what exists. */
export function isConflict(error: unknown): boolean {
  return apiErrorStatus(error) === 409;
}

export function isAlreadyExists(error: unknown): boolean {
  return isConflict(error) && reasonOf(error) === 'AlreadyExists';
}

/** The resourceVersion or continue token is too old: list again. */
export function isExpired(error: unknown): boolean {
  return apiErrorStatus(error) === 410;
}

function reasonOf(error: unknown): string | undefined {
  return typeof error === 'object' && error !== null && 'reason' in error && typeof error.reason === 'string'
    ? error.reason
    : undefined;
}
