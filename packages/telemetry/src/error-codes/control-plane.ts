import type { ErrorCodeTable } from '../errors.ts';

/** WEFT18xx. */
export const controlPlaneErrors = {} as const satisfies ErrorCodeTable;
