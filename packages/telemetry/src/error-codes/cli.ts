import type { ErrorCodeTable } from '../errors.ts';

/** WEFT19xx. */
export const cliErrors = {} as const satisfies ErrorCodeTable;
