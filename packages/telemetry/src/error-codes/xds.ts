import type { ErrorCodeTable } from '../errors.ts';

/** WEFT15xx. */
export const xdsErrors = {} as const satisfies ErrorCodeTable;
