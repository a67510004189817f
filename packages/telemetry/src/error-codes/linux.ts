import type { ErrorCodeTable } from '../errors.ts';

/** WEFT11xx. */
export const linuxErrors = {} as const satisfies ErrorCodeTable;
