import type { ErrorCodeTable } from '../errors.ts';

/** WEFT12xx. */
export const hboneErrors = {} as const satisfies ErrorCodeTable;
