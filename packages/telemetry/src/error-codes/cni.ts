import type { ErrorCodeTable } from '../errors.ts';

/** WEFT17xx. */
export const cniErrors = {} as const satisfies ErrorCodeTable;
