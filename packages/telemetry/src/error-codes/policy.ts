import type { ErrorCodeTable } from '../errors.ts';

/** WEFT14xx. */
export const policyErrors = {} as const satisfies ErrorCodeTable;
