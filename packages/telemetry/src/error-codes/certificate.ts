import type { ErrorCodeTable } from '../errors.ts';

/** WEFT16xx. */
export const certificateErrors = {} as const satisfies ErrorCodeTable;
