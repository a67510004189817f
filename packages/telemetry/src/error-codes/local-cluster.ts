import type { ErrorCodeTable } from '../errors.ts';

/** WEFT20xx. */
export const localClusterErrors = {} as const satisfies ErrorCodeTable;
