import type { ErrorCodeTable } from '../errors.ts';

/** WEFT13xx. */
export const ztunnelErrors = {} as const satisfies ErrorCodeTable;
