import type { ErrorCodeTable } from '../errors.ts';

/** WEFT21xx. */
export const proxyErrors = {} as const satisfies ErrorCodeTable;
